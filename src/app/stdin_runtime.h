// A runtime that also passes containers this process's standard input: `skiff run -i`.
#pragma once

#include "app/runtime_decorator.h"

namespace skiff::app {

class StdinRuntime final : public RuntimeDecorator {
public:
    // `inner` outlives it. With stdin_fd -1 nothing is changed.
    StdinRuntime(pods::Runtime& inner, int stdin_fd)
        : RuntimeDecorator(inner), stdin_fd_(stdin_fd) {}

    async::Task<Result<ContainerId>> start(const pods::ContainerSpec& spec) override {
        if (stdin_fd_ < 0 || spec.kind != pods::ContainerKind::regular) {
            return inner().start(spec);
        }
        pods::ContainerSpec with_stdin = spec;
        with_stdin.stdin_fd = stdin_fd_;
        return inner().start(with_stdin);
    }

private:
    int stdin_fd_;
};

}  // namespace skiff::app
