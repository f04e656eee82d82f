// Twenty lines of Eigen, for the compile time: products, expressions, a least-squares fit.
#include <Eigen/Dense>

#include <iostream>

int main() {
  Eigen::MatrixXf x = Eigen::MatrixXf::Random(32, 8), w = Eigen::MatrixXf::Random(8, 8);
  Eigen::VectorXf bias = Eigen::VectorXf::Random(8);
  Eigen::MatrixXf hidden = ((x * w).rowwise() + bias.transpose()).array().tanh();

  Eigen::MatrixXf scores = hidden * hidden.transpose() / 3.0f;
  scores.colwise() -= scores.rowwise().maxCoeff();
  Eigen::MatrixXf weights = scores.array().exp();
  weights.array().colwise() /= weights.rowwise().sum().array();

  Eigen::VectorXf target = (weights * x).rowwise().mean();
  Eigen::VectorXf fit = hidden.colPivHouseholderQr().solve(target);
  std::cout << fit.transpose() << '\n' << (hidden * fit - target).norm() << '\n';
}
