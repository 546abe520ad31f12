// How a room tells what its options are: one describe() per options struct, beside the code that the struct configures.
//
//   struct TopkOptions { double density = 0.0625; int64_t chunk = 4096; };
//   void describe(config::Section& s, TopkOptions& o) {
//     s.fraction("density", o.density, {0.0, 1.0}, "share of the elements that is sent");
//     s.integer("chunk", o.chunk, {2, 4096}, "elements among which the largest are chosen");
//   }
//
// From this one table come strict parsing, `config print`, `config docs`, `config schema` and the list of keys for "did you mean". The
// struct's member initialisers are the defaults. A Section keeps references into the struct: the struct must outlive it and must not move.
//
// Threads: one thread at a time. A key named twice in one section, or with a dot in it, is a broken invariant (base/check.h).
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace thinwire::config {

template <class T>
struct Range {  // both ends are allowed
  T low = std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::max();
};

// "10%", "200steps" or plain 200, "1e9tok": a stretch of a run, resolved once the run's length is known.
struct Amount {
  enum class Unit { steps, fraction, tokens };
  Unit unit = Unit::steps;
  double value = 0;
  int64_t to_steps(int64_t run_steps, int64_t tokens_per_step) const;  // rounded to nearest, at least 0
  bool operator==(const Amount&) const = default;
};

class Section;

// Where a key counts at all: while `selector`, a key of the same section, is one of `words`, or `or_where` says so.
struct Use {
  std::string selector;
  std::vector<std::string> words;
  std::function<bool()> or_where = {};
};

// What a machine can be told of a value (config schema); `Field::type` says it in words.
struct Form {
  enum class Kind { boolean, integer, number, quantity, text, choice };  // quantity: a number, or a text that ends with a unit
  Kind kind = Kind::text;
  std::optional<double> low = {}, high = {};  // of plain numbers
  std::vector<std::string> words = {};        // the choices, or the units
  bool or_auto = false;
};

// One key: a scalar (or flow list) with text conversions, a nested section, or a list of sections.
struct Field {
  std::string name, help;
  std::string type;  // for messages and docs: "integer >= 1", "one of a | b"
  Form form;         // of a scalar, or of each element of a flow list
  std::function<std::optional<std::string>(const std::vector<std::string>&)> parse;  // scalar texts in, error text out; sets the struct
  std::function<std::vector<std::string>()> print;                                   // round-trips through parse
  bool is_list = false;                                                              // print and parse a flow list of scalars
  bool is_text = false;              // any text is a value: printed in quotes where YAML asks
  std::shared_ptr<Section> section;  // nested section
  std::string name_key;              // of the nested section: a bare scalar sets this key of it
  // List of sections: element i, created when i == count(). The result is valid until the next call; go through a list from 0 upwards.
  std::function<Section*(size_t)> element;
  std::function<size_t()> count;
  std::function<void()> clear;
  std::shared_ptr<Section> element_schema;  // a default element, for docs and suggestions
  std::vector<Use> uses;                    // all have to hold; of a section: for every key in it
};

class Section {
 public:
  void boolean(std::string name, bool& value, std::string help);  // true | false only
  void integer(std::string name, int64_t& value, Range<int64_t> range, std::string help);
  void integer_or_auto(std::string name, std::optional<int64_t>& value, Range<int64_t> range, std::string help);
  void real(std::string name, double& value, Range<double> range, std::string help);
  void real_or_auto(std::string name, std::optional<double>& value, Range<double> range, std::string help);
  void fraction(std::string name, double& value, Range<double> range, std::string help);  // "6.25%" or 0.0625
  void bytes(std::string name, int64_t& value, Range<int64_t> range, std::string help);   // "4MB" = 4'000'000, "4MiB", plain bytes
  void seconds(std::string name, double& value, Range<double> range, std::string help);   // "60s", "500ms", "5m", "1h"
  void amount(std::string name, Amount& value, std::string help);
  void text(std::string name, std::string& value, std::string help);
  void texts(std::string name, std::vector<std::string>& value, std::string help);  // a list, or one scalar
  void choice(std::string name, std::string& value, std::vector<std::string> allowed, std::string help);
  void reals(std::string name, std::vector<double>& value, size_t count, Range<double> range, std::string help);  // exactly count

  template <class T>
  void section(std::string name, T& value, std::string help) {
    auto nested = std::make_shared<Section>();
    describe(*nested, value);
    add_section(std::move(name), std::move(nested), {}, std::move(help));
  }
  // As section(), and `name: ef14` is short for `name: {name_key: ef14}`.
  template <class T>
  void section_or_name(std::string name, T& value, std::string name_key, std::string help) {
    auto nested = std::make_shared<Section>();
    describe(*nested, value);
    add_section(std::move(name), std::move(nested), std::move(name_key), std::move(help));
  }
  void add_section(std::string name, std::shared_ptr<Section> nested, std::string name_key, std::string help);

  // A list of sections, replaced as a whole by a file that names it.
  template <class T>
  void list(std::string name, std::vector<T>& values, std::string help) {
    struct Described {
      const T* data = nullptr;
      std::vector<std::unique_ptr<Section>> sections;
    };
    auto described = std::make_shared<Described>();
    auto element = [&values, described](size_t index) {
      if (index == values.size()) values.emplace_back();
      // The structs moved, or a new pass begins and anybody may have changed them since the last: describe them afresh.
      if (index == 0 || described->data != values.data()) described->sections.clear();
      described->data = values.data();
      for (size_t i = described->sections.size(); i < values.size(); ++i) {
        described->sections.push_back(std::make_unique<Section>());
        describe(*described->sections.back(), values[i]);
      }
      return described->sections[index].get();
    };
    auto sample = std::make_shared<std::pair<T, Section>>();
    describe(sample->second, sample->first);
    add_list(
        std::move(name), std::move(help), std::move(element), [&values] { return values.size(); }, [&values] { values.clear(); },
        std::shared_ptr<Section>(sample, &sample->second));
  }

  // A rule over several keys, run after everything is parsed and only when all of this section did parse: an error text when it does not
  // hold. `key` (of this section, or dotted into a nested one) is where the message points.
  void rule(std::string key, std::function<std::optional<std::string>()> holds);

  // These keys are settings of an alternative, such as the options of one codec: elsewhere they are checked, and have no effect. load()
  // tells of those that were set all the same. The keys and the selector are described already.
  void only(const std::vector<std::string>& keys, const Use& use);

  const std::vector<Field>& fields() const { return fields_; }
  struct Rule {
    std::string key;
    std::function<std::optional<std::string>()> holds;
  };
  const std::vector<Rule>& rules() const { return rules_; }

 private:
  void add_list(std::string name, std::string help, std::function<Section*(size_t)> element, std::function<size_t()> count,
                std::function<void()> clear, std::shared_ptr<Section> element_schema);
  void add(Field field);
  std::vector<Field> fields_;
  std::vector<Rule> rules_;
};

}  // namespace thinwire::config
