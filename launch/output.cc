#include "launch/output.h"

#include "base/log.h"

namespace thinwire::launch {

Output::~Output() {
  if (file_ != nullptr) std::fclose(file_);
}

void Output::read(Stream stream, std::string_view bytes) {
  if (is_live_) {
    std::FILE* console = stream == Stream::out ? stdout : stderr;
    std::fwrite(bytes.data(), 1, bytes.size(), console);
    std::fflush(console);
  }
  std::string& pending = pending_[stream == Stream::out ? 0 : 1];
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    pending.append(bytes.substr(0, end));
    if (end == std::string_view::npos && pending.size() < kMostLineBytes) return;
    line(stream, pending);
    pending.clear();
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  }
}

void Output::end() {
  for (const Stream stream : {Stream::out, Stream::err}) {
    std::string& pending = pending_[stream == Stream::out ? 0 : 1];
    if (!pending.empty()) line(stream, pending);
    pending.clear();
  }
}

void Output::line(Stream stream, const std::string& text) {
  last_.push_back(text);
  if (last_.size() > kRemembered) last_.pop_front();
  if (!is_live_ && stream == Stream::err && text.starts_with("[rank ") && text.find("] warning: ") != std::string::npos) {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  if (file_ != nullptr) {
    std::fprintf(file_, "%s\n", text.c_str());
    std::fflush(file_);
  } else if (early_.size() < kMostEarlyBytes) {
    early_ += text + "\n";
  }
}

void Output::open_file(const std::filesystem::path& path) {
  if (file_ != nullptr) return;
  file_ = std::fopen(path.c_str(), "ae");
  if (file_ == nullptr) return log::warn("cannot write {}", path.string());
  std::fwrite(early_.data(), 1, early_.size(), file_);
  std::fflush(file_);
  early_.clear();
}

}  // namespace thinwire::launch
