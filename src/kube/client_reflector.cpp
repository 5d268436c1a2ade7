#include "kube/client_reflector.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/log.h"

namespace skiff::kube {

namespace {

namespace json = boost::json;

Result<json::value> parse_loosely(std::string_view text) {
    json::parse_options options;
    options.max_depth = kDepthMax;
    boost::system::error_code code;
    auto value = json::parse(text, code, {}, options);
    if (code || !value.is_object()) {
        return fail(Code::corrupt, "not a JSON object");
    }
    return value;
}

const json::value* member(const json::value* of, std::string_view name) {
    const json::object* object = of == nullptr ? nullptr : of->if_object();
    return object == nullptr ? nullptr : object->if_contains(name);
}

// Empty when it is not there or no string.
std::string text_member(const json::value* of, std::string_view name) {
    const json::value* value = member(of, name);
    const json::string* text = value == nullptr ? nullptr : value->if_string();
    return text == nullptr ? std::string() : std::string(text->data(), text->size());
}

// A watch that lived this long shows that the server is well: the back-off starts anew.
constexpr Duration kHealthyWatch = std::chrono::seconds(10);

bool is_expired(const Error& error) {
    return error.code == Code::conflict && (error.reason == "Expired" || error.reason == "Gone");
}

}  // namespace

ReflectorBase::Undecoded ReflectorBase::undecoded(const json::value* object) {
    const json::value* metadata = member(object, "metadata");
    Undecoded known;
    known.ns = text_member(metadata, "namespace");
    known.name = text_member(metadata, "name");
    known.uid = text_member(metadata, "uid");
    known.resource_version = text_member(metadata, "resourceVersion");
    return known;
}

Result<ReflectorBase::Undecoded> ReflectorBase::undecoded_event(std::string_view text) {
    SKIFF_TRY(auto event, parse_loosely(text));
    const json::value* object = member(&event, "object");
    Undecoded known = undecoded(object);
    std::string type = text_member(&event, "type");
    if (object == nullptr || type == "ERROR" || known.resource_version.empty()) {
        return fail(Code::corrupt, "a watch event without type, object or resourceVersion");
    }
    known.kind = type == "DELETED"    ? WatchKind::deleted
                 : type == "BOOKMARK" ? WatchKind::bookmark
                                      : WatchKind::modified;
    return known;
}

Result<ReflectorBase::UndecodedPage> ReflectorBase::undecoded_page(std::string_view text) {
    SKIFF_TRY(auto list, parse_loosely(text));
    const json::value* metadata = member(&list, "metadata");
    UndecodedPage page;
    page.page = Page{text_member(metadata, "resourceVersion"), text_member(metadata, "continue")};
    const json::value* items = member(&list, "items");
    if (items == nullptr || !items->is_array() || page.page.resource_version.empty()) {
        return fail(Code::corrupt, "a list without resourceVersion or items");
    }
    for (const json::value& item : items->get_array()) {
        Undecoded known = undecoded(&item);
        known.text = json::serialize(item);
        page.items.push_back(std::move(known));
    }
    return page;
}

void ReflectorBase::tell_skipped(const Undecoded& object, const Error& error) const {
    log::error("object skipped: it cannot be decoded", log::kv("resource", resource_.plural),
               log::kv("namespace", object.ns), log::kv("name", object.name),
               log::kv("uid", object.uid), log::kv("version", object.resource_version),
               log::kv("error", error.message));
    if (undecoded_callback_) {
        undecoded_callback_(object, error);
    }
}

bool ReflectorBase::has_undecoded(std::string_view uid) const {
    // Without a readable uid it may be any.
    return std::ranges::any_of(undecoded_, [uid](const auto& entry) {
        return entry.second == uid || entry.second.empty();
    });
}

ReflectorBase::ReflectorBase(ApiClient& client, const Clock& clock, Random& random,
                             Resource resource, Selection selection, ReflectorPace pace)
    : client_(client),
      clock_(clock),
      random_(random),
      resource_(resource),
      selection_(std::move(selection)),
      pace_(pace),
      back_off_(pace.back_off_min) {}

ApiRequest ReflectorBase::request() const {
    ApiRequest request;
    request.path = resource_path(resource_, selection_.ns);
    if (!selection_.field_selector.empty()) {
        request.query.emplace_back("fieldSelector", selection_.field_selector);
    }
    if (!selection_.label_selector.empty()) {
        request.query.emplace_back("labelSelector", selection_.label_selector);
    }
    return request;
}

async::Task<Result<void>> ReflectorBase::wait_synced(SteadyTime deadline) {
    co_return co_await synced_.wait(deadline);
}

async::Task<void> ReflectorBase::run() {
    while (true) {
        auto result = Result<void>();
        if (resource_version_.empty()) {
            result = co_await list();
        }
        if (result) {
            auto started = clock_.steady_now();
            result = co_await watch();
            if (clock_.steady_now() - started > kHealthyWatch) {
                back_off_ = pace_.back_off_min;
            }
        }
        if (result) {
            continue;
        }
        if (result.error().code == Code::cancelled) {
            co_return;
        }
        if (is_expired(result.error())) {
            log::debug("watch expired, listing again", log::kv("resource", resource_.plural));
            resource_version_.clear();
        } else {
            log::debug("list or watch failed", log::kv("resource", resource_.plural),
                       log::kv("error", format_as(result.error())));
        }
        last_error_ = std::move(result.error());
        bool go_on = co_await pause();
        if (!go_on) {
            co_return;
        }
    }
}

async::Task<bool> ReflectorBase::pause() {
    // Between half and the whole of the back-off, so that nodes do not return in step.
    auto wait = std::chrono::duration_cast<Duration>(back_off_ * (0.5 + random_.uniform() / 2));
    back_off_ = std::min(back_off_ * 2, pace_.back_off_max);
    nudge_.reset();
    auto deadline = clock_.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(wait);
    auto woken = co_await nudge_.wait(deadline);
    co_return woken || woken.error().code != Code::cancelled;
}

async::Task<Result<void>> ReflectorBase::list_pages() {
    drop_pages();
    std::string token;
    do {
        ApiRequest page = request();
        page.query.emplace_back("limit", fmt::format("{}", kListPageItems));
        if (!token.empty()) {
            page.query.emplace_back("continue", token);
        }
        SKIFF_CO_TRY(auto body, co_await client_.call(std::move(page)));
        SKIFF_CO_TRY(auto taken, take_page(body));
        token = std::move(taken.continue_token);
        listed_version_ = std::move(taken.resource_version);
    } while (!token.empty());
    co_return Result<void>();
}

async::Task<Result<void>> ReflectorBase::list() {
    SKIFF_CO_CHECK(co_await list_pages());
    auto [lost, known] = loss();
    if (lost >= kDoubtedLossMin && lost * 2 > known) {
        // Believing a broken answer would stop half of the node's pods: ask once more.
        log::warn("list lost more than half, asking again", log::kv("resource", resource_.plural),
                  log::kv("lost", lost), log::kv("known", known));
        SKIFF_CO_CHECK(co_await async::sleep_for(pace_.confirm_delay));
        SKIFF_CO_CHECK(co_await list_pages());
    }
    resource_version_ = listed_version_;
    last_error_.reset();
    commit_pages();
    synced_.set();
    co_return Result<void>();
}

async::Task<Result<void>> ReflectorBase::watch_events() {
    auto duration = pace_.watch_duration * (1 + random_.uniform());
    auto seconds = std::chrono::ceil<std::chrono::seconds>(duration).count();
    ApiRequest watch = request();
    watch.query.emplace_back("watch", "true");
    watch.query.emplace_back("allowWatchBookmarks", "true");
    watch.query.emplace_back("resourceVersion", resource_version_);
    watch.query.emplace_back("timeoutSeconds", fmt::format("{}", seconds));
    SKIFF_CO_TRY(auto stream, co_await client_.watch(std::move(watch), pace_.watch_idle));
    last_error_.reset();
    while (true) {
        SKIFF_CO_TRY(auto line, co_await stream->next());
        if (!line) {
            co_return Result<void>();
        }
        auto version = take_event(*line);
        if (!version) {
            co_return fail(std::move(version.error()));
        }
        if (!version->empty()) {
            resource_version_ = std::move(*version);
        }
        back_off_ = pace_.back_off_min;
    }
}

async::Task<void> ReflectorBase::watch_body(Result<void>* result, async::Event* done) {
    *result = co_await watch_events();
    done->set();
}

// One watch, in a Scope of its own, so that it can be given up from outside when the connection
// is suspected dead.
async::Task<Result<void>> ReflectorBase::watch() {
    auto executor = co_await async::current_executor();
    async::Scope scope(executor);
    async::Event done;
    Result<void> result = fail(Code::unavailable, "the connection was given up");
    bool given_up = false;
    const std::uint64_t renewals = client_.renewals();
    auto token = client_.on_suspicion([&done, &given_up] {
        given_up = true;
        done.set();
    });
    scope.spawn("watch", watch_body(&result, &done));
    auto waited = co_await done.wait();
    // The scope must end even when we are being cancelled ourselves.
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    client_.forget_suspicion(token);
    co_await scope.stop();
    co_await boost::asio::this_coro::throw_if_cancelled(true);
    if (!waited) {
        co_return fail(std::move(waited.error()));
    }
    if (given_up && client_.renewals() != renewals) {
        co_return Result<void>();  // goes on at once, from the last version, on a new connection
    }
    if (!result && result.error().code == Code::cancelled) {
        co_return fail(Code::unavailable, "the connection was given up");
    }
    co_return result;
}

}  // namespace skiff::kube
