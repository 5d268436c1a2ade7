#include "pods/exec.h"

#include "pods/worker_fixture.h"

namespace skiff::pods {
namespace {

class Exec : public PodWorker {
protected:
    Exec() {
        pod.spec.containers.emplace_back(pod.spec.containers[0]).name = "second";
        run_pod(pod);
        settle();
    }
    PodSnapshot snapshot() { return *pods->find(PodUid("uid-1")); }
    Result<std::unique_ptr<ExecSession>> start(const std::string& container,
                                               std::vector<std::string> command) {
        ExecRequest request;
        request.container = container;
        request.command = std::move(command);
        request.stdout_fd = 7;
        return async::run_to_end(
            reactor(), exec_command(node.images, node.guests, snapshot(), std::move(request)));
    }

    kube::Pod pod = make_pod("boat");
};

TEST_F(Exec, ChoosesTheContainerAsKubectlDoes) {
    EXPECT_EQ(default_container(pod), "main");
    pod.metadata.annotations["kubectl.kubernetes.io/default-container"] = "second";
    EXPECT_EQ(default_container(pod), "second");
    pod.metadata.annotations["kubectl.kubernetes.io/default-container"] = "none";
    EXPECT_EQ(default_container(pod), "main");
    EXPECT_EQ(*exec_target(snapshot(), ""), node.guests.running("main"));
    EXPECT_EQ(*exec_target(snapshot(), "second"), node.guests.running("second"));
}

TEST_F(Exec, IsForRunningContainersOnly) {
    auto unknown = exec_target(snapshot(), "third");
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Code::not_found);
    EXPECT_EQ(unknown.error().message, "container third is not valid for pod boat");
    node.guests.answers.reset();  // its next run stays `starting`
    node.guests.end(node.guests.running("second"), 0);
    settle();
    auto ended = exec_target(snapshot(), "second");
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, Code::conflict);
    EXPECT_EQ(ended.error().message, "container \"second\" is not running");
    EXPECT_FALSE(start("second", {"ls"}));
    EXPECT_TRUE(node.guests.commands.empty());
}

TEST_F(Exec, TakesAModuleOfALayeredImageElseTheToolbox) {
    ASSERT_TRUE(start("", {"ls", "-l"}));
    EXPECT_FALSE(node.guests.commands.back().module);
    EXPECT_EQ(node.guests.commands.back().command, (std::vector<std::string>{"ls", "-l"}));
    EXPECT_EQ(node.guests.commands.back().stdout_fd, 7);
    node.guests.image.kind = ImageKind::layered;
    ASSERT_TRUE(start("", {"/bin/tool.wasm"}));
    ASSERT_TRUE(node.guests.commands.back().module);
    EXPECT_EQ(node.guests.commands.back().module->path, "/bin/tool.wasm");
    node.images.faults.fail_next("find_module", make_error(Code::not_found, "", "no file"));
    ASSERT_TRUE(start("", {"ls"}));
    EXPECT_FALSE(node.guests.commands.back().module);
    node.images.faults.fail_next("find_module", make_error(Code::corrupt, "", "in circles"));
    auto corrupt = start("", {"ls"});
    ASSERT_FALSE(corrupt);
    EXPECT_EQ(corrupt.error().message, "in circles");
    EXPECT_EQ(start("", {}).error().code, Code::invalid);
}

TEST_F(Exec, EndsWithItsContainerOrItsSession) {
    auto session = start("", {"ls"});
    ASSERT_TRUE(session);
    node.guests.end_command(3);
    auto exit = async::run_to_end(reactor(), (*session)->wait());
    EXPECT_EQ(exit->exit_code, 3);
    session = start("", {"ls"});
    node.guests.end(node.guests.running("main"), 0);
    exit = async::run_to_end(reactor(), (*session)->wait());
    EXPECT_EQ(exit->kind, ExitKind::killed);
    auto other = start("second", {"ls"});
    other->reset();
    EXPECT_TRUE(node.guests.sessions.back()->ended.is_set());
}

}  // namespace
}  // namespace skiff::pods
