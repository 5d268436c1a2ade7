"""The node as the cluster sees it."""

from kube import pod, wait_until


def test_the_node_is_ready_and_says_what_it_is(kube, node):
    its = kube.get("node", node)
    labels = its["metadata"]["labels"]
    assert labels["kubernetes.io/arch"] == "wasm32-wasi"
    assert labels["kubernetes.io/os"] == "wasi"
    assert labels["kubernetes.io/hostname"] == node
    assert labels["type"] == "krustlet"
    assert {t["effect"] for t in its["spec"]["taints"] if t["key"] == "kubernetes.io/arch"} == {
        "NoSchedule", "NoExecute"}
    told = its["status"]["nodeInfo"]
    assert told["kubeletVersion"].startswith("v1.37.")
    assert told["containerRuntimeVersion"].startswith("skiff://")
    assert told["operatingSystem"] == "linux"
    conditions = {c["type"]: (c["status"], c["reason"]) for c in its["status"]["conditions"]}
    assert conditions["Ready"] == ("True", "KubeletReady")
    assert conditions["MemoryPressure"] == ("False", "KubeletHasSufficientMemory")
    assert its["status"]["capacity"]["pods"] == "110"
    assert {h["name"] for h in its["status"]["runtimeHandlers"]} >= {"wasmtime"}


def test_the_lease_is_renewed(kube, node):
    def renewed():
        lease = kube("get", "lease", node, "-n", "kube-node-lease", "-o",
                     "jsonpath={.spec.renewTime} {.spec.holderIdentity}").stdout.split()
        assert lease[1] == node
        return lease[0]

    first = renewed()
    wait_until(lambda: renewed() != first, 15, "a renewed lease")


def test_a_pod_without_toleration_stays_away(kube, cluster):
    its = pod("shy", cluster.push("sleeper"))
    del its["spec"]["runtimeClassName"]
    kube.apply(its)
    event = kube.wait_event("shy", "FailedScheduling")
    assert "untolerated taint" in event["message"]
    assert "nodeName" not in kube.pod("shy")["spec"]


def test_tolerations_place_a_pod_as_krustlets_do(kube, cluster, node):
    its = pod("krust", cluster.push("actor"), "print", "hi",
              nodeSelector={"kubernetes.io/arch": "wasm32-wasi"},
              tolerations=[{"key": "kubernetes.io/arch", "operator": "Equal",
                            "value": "wasm32-wasi", "effect": effect}
                           for effect in ("NoExecute", "NoSchedule")])
    del its["spec"]["runtimeClassName"]
    kube.apply(its)
    assert kube.wait_phase("krust", "Succeeded")["spec"]["nodeName"] == node


def test_two_nodes_on_one_machine(kube, cluster, node):
    cluster.node("up", "skiff-2")
    try:
        for name in (node, "skiff-2"):
            kube.apply(pod(f"on-{name}", cluster.push("actor"), "print", name,
                           nodeSelector={"kubernetes.io/hostname": name}))
        for name in (node, "skiff-2"):
            kube.wait_phase(f"on-{name}", "Succeeded")
            assert kube.logs(f"on-{name}") == f"{name}\n"
    finally:
        cluster.node("down", "skiff-2")
