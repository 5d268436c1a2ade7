#include "app/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

namespace skiff::app {

namespace json = boost::json;

static std::string_view word_of(Verdict verdict) {
    constexpr std::string_view kWords[] = {"ok", "warn", "fail"};
    return kWords[static_cast<int>(verdict)];
}

static std::string painted(Verdict verdict, Colour colour) {
    std::string word = fmt::format("{:<4}", word_of(verdict));
    if (colour == Colour::none) {
        return word;
    }
    constexpr int kColours[] = {32, 33, 31};
    return fmt::format("\x1b[{}m{}\x1b[0m", kColours[static_cast<int>(verdict)], word);
}

Finding fine(std::string check, std::string detail) {
    return Finding{std::move(check), Verdict::ok, std::move(detail), {}};
}

Verdict worst_of(const Findings& findings) {
    Verdict worst = Verdict::ok;
    for (const Finding& finding : findings) {
        worst = std::max(worst, finding.verdict);
    }
    return worst;
}

std::string render_findings(const Findings& findings, Colour colour) {
    std::string out;
    std::size_t counts[3] = {};
    for (const Finding& finding : findings) {
        ++counts[static_cast<int>(finding.verdict)];
        out += fmt::format("{}  {}: {}\n", painted(finding.verdict, colour), finding.check,
                           finding.detail);
        if (!finding.remedy.empty()) {
            out += fmt::format("      {}\n", finding.remedy);
        }
    }
    out += fmt::format("{} ok, {} warn, {} fail\n", counts[0], counts[1], counts[2]);
    return out;
}

std::string findings_json(const Findings& findings) {
    auto text = [](std::string_view value) { return json::string(value.data(), value.size()); };
    json::array list;
    for (const Finding& finding : findings) {
        json::object one;
        one["check"] = text(finding.check);
        one["verdict"] = text(word_of(finding.verdict));
        one["detail"] = text(finding.detail);
        one["remedy"] = text(finding.remedy);
        list.emplace_back(std::move(one));
    }
    json::object all;
    all["verdict"] = text(word_of(worst_of(findings)));
    all["findings"] = std::move(list);
    return json::serialize(all) + "\n";
}

}  // namespace skiff::app
