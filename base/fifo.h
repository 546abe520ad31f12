// A queue that allocates only when it comes to hold more than it ever did.
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

namespace thinwire {

template <class T>
class Fifo {
 public:
  bool empty() const { return first_ == items_.size(); }
  size_t size() const { return items_.size() - first_; }
  T& front() { return items_[first_]; }
  const T& front() const { return items_[first_]; }
  T& operator[](size_t i) { return items_[first_ + i]; }  // 0: the front
  auto begin() const { return items_.begin() + static_cast<std::ptrdiff_t>(first_); }
  auto end() const { return items_.end(); }

  void push(T item) {
    // What was taken makes room, once it is half of all: each item is moved at most once for each that is pushed.
    if (items_.size() == items_.capacity() && first_ > items_.size() / 2) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
    items_.push_back(std::move(item));
  }
  T pop() {
    T item = std::move(items_[first_++]);
    if (empty()) {
      items_.clear();
      first_ = 0;
    }
    return item;
  }

 private:
  std::vector<T> items_;
  size_t first_ = 0;  // items before it are taken
};

}  // namespace thinwire
