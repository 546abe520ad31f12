// What the doctor says of a machine on which something of CUDA is missing.
#include <gmock/gmock.h>

#include "app/doctor/cuda.h"

namespace thinwire::app::doctor {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using State = Finding::State;

constexpr const char* kDriver = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06";

CudaState whole() {
  return {.driver = kDriver,
          .has_driver_library = true,
          .lacks = cuda::Lack::nothing,
          .why_no_module = "",
          .gpus = {"NVIDIA H100 80GB HBM3, sm_90, 84.93GB"},
          .why_no_torch = "",
          .why_no_nccl = "",
          .nccl = "NCCL 2.28.9"};
}

CudaState without(cuda::Lack lack, const std::string& why) {
  CudaState state = whole();
  state.lacks = lack;
  state.why_no_module = why;
  state.gpus.clear();
  state.nccl.clear();
  return state;
}

Finding named(const Findings& findings, const std::string& name) {
  for (const Finding& finding : findings) {
    if (finding.name == name) return finding;
  }
  ADD_FAILURE() << "nothing is found of " << name;
  return {};
}

TEST(CudaFindings, OfAWholeMachineAreWell) {
  const Findings findings = findings_of(whole(), {.device = true, .nccl = true});
  ASSERT_EQ(findings.size(), 3u);
  for (const Finding& finding : findings) EXPECT_EQ(finding.state, State::well) << finding.name;
  EXPECT_EQ(named(findings, "GPU 0").value, "NVIDIA H100 80GB HBM3, sm_90, 84.93GB");
}

TEST(CudaFindings, NameTheFileOfAMissingModuleAndTheStepThatBuildsIt) {
  CudaState state = without(cuda::Lack::module, "this Thinwire was built without CUDA: there is no /opt/bin/libthinwire_cuda.so");
  const Finding finding = named(findings_of(state, {}), "CUDA module");
  EXPECT_EQ(finding.state, State::note);
  EXPECT_THAT(finding.value, AllOf(HasSubstr("/opt/bin/libthinwire_cuda.so"), HasSubstr("nccl")));
  EXPECT_THAT(finding.fix, AllOf(HasSubstr("nvcc"), HasSubstr("THINWIRE_CUDA=ON ./run build")));
  EXPECT_EQ(named(findings_of(state, {.device = true}), "CUDA module").state, State::note) << "LibTorch trains on a GPU without it";
  EXPECT_EQ(named(findings_of(state, {.nccl = true}), "CUDA module").code, ExitCode::usage);
  state.can_build = false;
  EXPECT_THAT(named(findings_of(state, {}), "CUDA module").fix, HasSubstr("cmake --install build"));
}

TEST(CudaFindings, NameAMissingDriverWithTheCommandThatInstallsIt) {
  CudaState state = without(cuda::Lack::device, "no CUDA device is seen");
  state.driver.clear();
  state.has_driver_library = false;
  state.why_no_torch.reset();
  const Findings findings = findings_of(state, {});
  EXPECT_EQ(named(findings, "NVIDIA driver").state, State::note);
  EXPECT_THAT(named(findings, "NVIDIA driver").value, AllOf(HasSubstr("/proc/driver/nvidia/version"), HasSubstr("libcuda.so.1")));
  EXPECT_THAT(named(findings, "NVIDIA driver").fix, HasSubstr("sudo apt-get install nvidia-driver"));
  EXPECT_EQ(named(findings, "CUDA module").state, State::well) << "one thing is missing, and told once";
  for (const CudaUse use : {CudaUse{.device = true}, CudaUse{.nccl = true}})
    EXPECT_EQ(named(findings_of(state, use), "NVIDIA driver").state, State::bad);
}

TEST(CudaFindings, NameTheLibraryOfADriverThatAContainerDoesNotSee) {
  CudaState state = without(cuda::Lack::device, "no CUDA device is seen");
  state.has_driver_library = false;
  const Finding finding = named(findings_of(state, {}), "NVIDIA driver");
  EXPECT_THAT(finding.value, AllOf(HasSubstr("libcuda.so.1"), HasSubstr(kDriver)));
  EXPECT_THAT(finding.fix, AllOf(HasSubstr("libcuda1"), HasSubstr("--gpus all")));
}

TEST(CudaFindings, OfADriverWithoutADeviceSayWhereToLook) {
  const Finding finding = named(findings_of(without(cuda::Lack::device, "no CUDA device is seen"), {.device = true}), "CUDA module");
  EXPECT_EQ(finding.state, State::bad);
  EXPECT_THAT(finding.fix, AllOf(HasSubstr("nvidia-smi"), HasSubstr("unset CUDA_VISIBLE_DEVICES")));
}

TEST(CudaFindings, OfOtherLacksHaveAFixEach) {
  const Finding library = named(findings_of(without(cuda::Lack::library, "libcudart.so.13: cannot open"), {}), "CUDA module");
  EXPECT_THAT(library.value, HasSubstr("libcudart.so.13"));
  EXPECT_THAT(library.fix, HasSubstr("./run build"));
  EXPECT_THAT(named(findings_of(without(cuda::Lack::build, "of another build"), {}), "CUDA module").fix, HasSubstr("./run build"));
  CudaState state = whole();
  state.why_no_torch = "LibTorch's CUDA half cannot be loaded";
  state.why_no_nccl = "libnccl.so.2 is not found";
  state.nccl.clear();
  EXPECT_THAT(named(findings_of(state, {.device = true}), "LibTorch on the GPU").fix, HasSubstr("THINWIRE_CUDA=ON ./run build"));
  EXPECT_THAT(named(findings_of(state, {.nccl = true}), "NCCL").fix, HasSubstr("apt-get install libnccl2"));
  for (const Finding& finding : findings_of(state, {.device = true, .nccl = true})) {
    EXPECT_EQ(finding.fix.empty(), finding.state == State::well) << finding.name;
  }
}

}  // namespace
}  // namespace thinwire::app::doctor
