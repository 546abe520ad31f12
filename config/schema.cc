#include <nlohmann/json.hpp>

#include "base/text.h"
#include "config/load.h"
#include "config/values.h"

namespace thinwire::config {

namespace {
using Json = nlohmann::ordered_json;

Json object_of(const Section& section);

// "5%" as well as 0.05.
Json quantity_of(const std::vector<std::string>& units) {
  return {{"anyOf", {{{"type", "number"}}, {{"type", "string"}, {"pattern", "^[0-9.eE+-]+(" + join(units, "|") + ")$"}}}}};
}

Json number_of(const char* type, const Form& form) {
  Json number{{"type", type}};
  if (form.low) number["minimum"] = *form.low;
  if (form.high) number["maximum"] = *form.high;
  return number;
}

// YAML reads a choice such as 8 as a number.
Json choice_of(const std::vector<std::string>& words) {
  Json choices = words;
  for (const auto& word : words) {
    if (const auto number = parse_integer(word)) choices.push_back(*number);
  }
  return {{"enum", choices}};
}

Json scalar_of(const Form& form) {
  switch (form.kind) {
    case Form::Kind::boolean: return {{"type", "boolean"}};
    case Form::Kind::integer: return number_of("integer", form);
    case Form::Kind::number: return number_of("number", form);
    case Form::Kind::quantity: return quantity_of(form.words);
    case Form::Kind::choice: return choice_of(form.words);
    case Form::Kind::text: break;
  }
  return {{"type", {"string", "number", "boolean"}}};  // YAML reads 7 and true as other types; here any scalar is a text
}

// The default, in its own type where it is a number or true or false.
Json value_of(const Form& form, const std::string& text) {
  const bool is_number = form.kind == Form::Kind::integer || form.kind == Form::Kind::number;
  if (is_number && text != "auto") return form.kind == Form::Kind::integer ? Json(*parse_integer(text)) : Json(*parse_real(text));
  if (form.kind == Form::Kind::boolean) return text == "true";
  return text;
}

Json value_schema(const Field& field) {
  if (field.section) {
    Json nested = object_of(*field.section);
    if (field.name_key.empty()) return nested;
    const Json name = nested["properties"][field.name_key];
    return {{"anyOf", {std::move(nested), name}}};
  }
  if (field.element_schema) return {{"type", "array"}, {"items", object_of(*field.element_schema)}};
  Json schema = scalar_of(field.form);
  if (field.form.or_auto) schema = {{"anyOf", {{{"const", "auto"}}, schema}}};
  if (!field.is_list) return schema;
  Json list{{"type", "array"}, {"items", schema}};
  if (field.is_text) list = {{"anyOf", {list, schema}}};
  return list;
}

Json described(const Field& field) {
  Json schema = value_schema(field);
  schema["description"] = field.help + " (" + field.type + ")";
  if (!field.print) return schema;
  const auto texts = field.print();
  if (!field.is_list) {
    schema["default"] = value_of(field.form, texts.at(0));
    return schema;
  }
  schema["default"] = Json::array();
  for (const auto& text : texts) schema["default"].push_back(value_of(field.form, text));
  return schema;
}

Json object_of(const Section& section) {
  Json properties = Json::object();
  for (const auto& field : section.fields()) properties[field.name] = described(field);
  return {{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
}

}  // namespace

std::string json_schema(const Section& root) {
  Json schema{{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "Thinwire configuration"}};
  schema.update(object_of(root));
  return schema.dump(2) + "\n";
}

}  // namespace thinwire::config
