// A callable that somebody else keeps: what std::function_ref will be. Never allocates; must not outlive what it refers to.
#pragma once
#include <memory>
#include <type_traits>
#include <utility>

namespace thinwire {

template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, Args...>)
  FunctionRef(F&& callable)  // implicit, so that a lambda may be an argument
      : callable_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))), call_([](void* callee, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(callee))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(callable_, std::forward<Args>(args)...); }

 private:
  void* callable_;
  R (*call_)(void*, Args...);
};

}  // namespace thinwire
