#include "app/powers.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"
#include "wire/powers.h"

namespace skiff::app {
namespace {

// What a program that root executes has, from one line of /proc/self/status.
std::string line_of(const std::string& status, const std::string& name) {
    const auto at = status.find(name + ":\t");
    return at == std::string::npos ? "" : status.substr(at + name.size() + 2, 16);
}

std::string hex(os::CapabilitySet set) {
    return fmt::format("{:016x}", set.bits());
}

TEST(Powers, TheAgentKeepsItsListAndItsKeeperCanHaveTheirs) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    const os::CapabilitySet had = *os::permitted_capabilities();
    auto pipe = *os::make_pipe();
    const pid_t pid = ::fork();
    if (pid == 0) {
        const os::IdMapProbe probe = settle_powers();
        // Still able to ask, with what is left.
        const bool asked = probe.find_unmappable("/proc").has_value();
        (void)os::write_all(pipe.write.get(), (asked ? "" : "no answer") +
                                                  *os::read_kernel_file("/proc/self/status"));
        ::_exit(0);
    }
    pipe.write.reset();
    const std::string status = *os::read_all(pipe.read.get(), 64_KiB);
    ::waitpid(pid, nullptr, 0);
    EXPECT_FALSE(status.starts_with("no answer"));
    const os::CapabilitySet own = agent_capabilities() & had;
    EXPECT_EQ(line_of(status, "CapPrm"), hex(own));
    EXPECT_EQ(line_of(status, "CapEff"), hex(own));
    EXPECT_EQ(line_of(status, "CapBnd"), hex(own | (started_capabilities() & had)));
    EXPECT_EQ(line_of(status, "CapInh"), hex({}));
    EXPECT_EQ(line_of(status, "CapAmb"), hex({}));
    for (const int number : wire::kKeeperCapabilities) {
        EXPECT_TRUE(started_capabilities().contains(number)) << number;
    }
    for (const int number : {CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_BPF,
                             CAP_MAC_ADMIN, CAP_SYSLOG, CAP_MKNOD, CAP_KILL}) {
        EXPECT_FALSE((agent_capabilities() | started_capabilities()).contains(number)) << number;
    }
}

}  // namespace
}  // namespace skiff::app
