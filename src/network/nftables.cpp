#include "network/nftables.h"

#include <nftables/libnftables.h>

#include <memory>
#include <mutex>

#include "base/text.h"

namespace skiff::network {

namespace {

constexpr std::size_t kWordsMax = 512;

struct Free {
    void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

}  // namespace

Result<void> run_nft(const std::string& script) {
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> turn(one_at_a_time);
    const std::unique_ptr<nft_ctx, Free> context(nft_ctx_new(NFT_CTX_DEFAULT));
    if (!context) {
        return fail(Code::exhausted, "no memory for nftables");
    }
    // Else it writes to this process's own streams.
    if (nft_ctx_buffer_output(context.get()) != 0 || nft_ctx_buffer_error(context.get()) != 0) {
        return fail(Code::exhausted, "no memory for nftables");
    }
    if (nft_run_cmd_from_buffer(context.get(), script.c_str()) == 0) {
        return {};
    }
    const char* words = nft_ctx_get_error_buffer(context.get());
    const std::string said =
        bounded_utf8(words == nullptr ? "it does not say why" : trim(words), kWordsMax);
    const bool lacks = said.find("Operation not supported") != std::string::npos ||
                       said.find("Protocol not supported") != std::string::npos;
    return fail(lacks ? Code::unsupported : Code::invalid, "nftables: {}", said);
}

}  // namespace skiff::network
