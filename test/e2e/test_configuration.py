"""The node's configuration: drop-in files, /configz, the log and what it must not say (row 60)."""

import base64
import json
import secrets

import pytest

from kube import pod, run, wait_until

NODE = "skiff-configured"
KUBELET = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
URL_TOKEN = "url-" + secrets.token_hex(8)


@pytest.fixture(scope="module")
def configured(cluster, tmp_path_factory):
    """A node with drop-in files that logs everything as JSON."""
    folder = tmp_path_factory.mktemp("config.d")
    (folder / "20-last.conf").write_text(KUBELET + "maxPods: 33\nclusterDNS: [10.9.9.9]\n"
                                         "authorization: {webhook: {cacheUnauthorizedTTL: 1s}}\n")
    (folder / "10-first.conf").write_text(
        KUBELET + "maxPods: 22\nclusterDNS: [10.1.1.1, 10.2.2.2]\nsystemReserved: {cpu: 100m}\n"
        "cpuManagerPolicy: static\nlogging: {format: json, verbosity: 4}\n"
        f"staticPodURLHeader: {{X-Token: [{URL_TOKEN}]}}\n")
    cluster.node("up", NODE, "--", "--config-dir", str(folder))
    yield NODE
    cluster.node("down", NODE)


def test_row_60_configz_shows_what_drop_in_files_made_of_the_configuration(kube, configured):
    its = kube.node_json(configured, "configz")
    kubelet = its["kubeletconfig"]
    assert (kubelet["kind"], kubelet["apiVersion"]) == ("KubeletConfiguration", "kubelet.config.k8s.io/v1beta1")
    assert kubelet["maxPods"] == 33 and kubelet["clusterDNS"] == ["10.9.9.9"]
    assert kubelet["systemReserved"] == {"cpu": "100m"}
    assert kubelet["cpuManagerPolicy"] == "none", "what holds, not what was asked for"
    assert kubelet["logging"]["format"] == "json"
    assert kubelet["authentication"]["webhook"] == {"enabled": True, "cacheTTL": "2m0s"}
    assert kubelet["staticPodURLHeader"] == {"X-Token": ["<masked>"]}
    assert its["skiffconfig"]["nodeName"] == configured
    node = kube.get("node", configured)
    assert node["status"]["capacity"]["pods"] == "33"
    capacity, allocatable = (node["status"][name]["cpu"] for name in ("capacity", "allocatable"))
    assert allocatable == f"{int(capacity) * 1000 - 100}m"


def test_row_60_a_field_without_meaning_is_accepted_with_one_line(configured, cluster):
    told = [line for line in cluster.log_of(configured).splitlines() if "cpuManagerPolicy is accepted" in line]
    assert len(told) == 1 and "10-first.conf:" in told[0]


def test_the_log_is_json_with_pods_as_fields_and_holds_no_secret(kube, cluster, configured, skiff):
    """At its most talkative: a Secret as file and variable, a pull secret, a service account's token."""
    word, password = secrets.token_hex(12), secrets.token_hex(12)
    auth = base64.b64encode(f"user:{password}".encode()).decode()
    config = json.dumps({"auths": {cluster.registry: {"auth": auth}}})
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"}, "stringData": {"word": word}},
               {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"},
                "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config}})
    its = pod("keeper", cluster.push("actor"), "read", "/s/word", ";", "print", "", ";", "read",
              "/var/run/secrets/kubernetes.io/serviceaccount/token", ";", "print", "", ";", "hold",
              nodeSelector={"kubernetes.io/hostname": configured}, imagePullSecrets=[{"name": "pull"}],
              automountServiceAccountToken=True, volumeMounts=[{"name": "s", "mountPath": "/s"}],
              volumes=[{"name": "s", "secret": {"secretName": "word"}}])
    its["spec"]["containers"][0]["env"] = [
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "word", "key": "word"}}}]
    kube.apply(its)
    its = kube.wait_ready("keeper")
    printed = wait_until(lambda: kube.logs("keeper") if kube.logs("keeper").count(".") == 2 else "", 20, "both")
    assert word in printed
    token = printed.replace(word, "").strip()
    assert token.count(".") == 2, "a token"
    run_dir = kube.node_json(configured, "configz")["skiffconfig"]["runDir"]
    run([skiff, "exec", "--run-dir", run_dir, "-n", kube.namespace, "keeper", "--", "env"])
    kube("delete", "pod", "keeper")
    kube.wait_gone("keeper")

    text = cluster.log_of(configured)
    # The keeper, another program, writes to the same place.
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"ts", "level", "msg"} <= set(line) for line in lines)
    assert any(line["level"] == "debug" for line in lines)
    uid = its["metadata"]["uid"]
    about = [line for line in lines if line.get("uid") == uid]
    assert about and all(line["pod"] == f"{kube.namespace}/keeper" for line in about if "pod" in line)
    assert any(line.get("container") == "main" for line in about)
    hidden = {"secret": word, "password": password, "pull secret": auth, "token": token,
              "signature of the token": token.split(".")[2], "bootstrap token": cluster.env["BOOTSTRAP_TOKEN"],
              "header": URL_TOKEN, "encoded secret": base64.b64encode(word.encode()).decode()}
    for what, value in hidden.items():
        assert value not in text, what


def test_a_bad_drop_in_file_is_named(skiff, tmp_path):
    (tmp_path / "a.conf").write_text(KUBELET + "maxPods: many\n")
    done = run([skiff, "node", "--config-dir", tmp_path, "--show-config"], check=False)
    assert done.returncode == 2
    assert f'{tmp_path}/a.conf:3: maxPods: "many" is not a whole number' in done.stderr


def test_configz_needs_its_right(kube, cluster, configured, grants):
    """A token with nodes/metrics alone is refused, with nodes/configz it is let in."""
    token = kube.token_of("reader")
    address = kube.address_of(configured)

    def status():
        return run(cluster.inside("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                                  f"Authorization: Bearer {token}", f"https://{address}:10250/configz")).stdout

    grants.to_account("reader", {("get", "metrics")})
    assert status() == "403"
    grants.to_account("reader", {("get", "configz")})
    # The refusal is remembered for the second that the drop-in file says.
    wait_until(lambda: status() == "200", 20, status)
