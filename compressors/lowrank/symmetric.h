// Eigenvalues of a small symmetric matrix by Jacobi's rotations (Golub and Van Loan, "Matrix Computations", 8.5, cyclic by rows).
#pragma once
#include <cstddef>
#include <vector>

namespace thinwire::compressors::lowrank {

// Largest first, each within about 1e-14 of the largest in magnitude. `a` is row-major, size x size, symmetric and finite. O(size^3).
std::vector<double> symmetric_eigenvalues(std::vector<double> a, size_t size);

}  // namespace thinwire::compressors::lowrank
