//go:build tools

// Package kubelet names the upstream node agent that Skiff is tested beside, so that go.mod and go.sum pin every module it
// needs. Its versions are those of test/cluster, so both share what is compiled.
package kubelet

import (
	_ "k8s.io/kubernetes/cmd/kubelet"
)
