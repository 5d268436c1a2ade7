//go:build tools

// Package kubeproxy names the upstream command that makes Services' addresses work on the test cluster's nodes, so that
// go.mod and go.sum pin every module it needs. Its versions are those of test/cluster, so both share what is compiled.
package kubeproxy

import (
	_ "k8s.io/kubernetes/cmd/kube-proxy"
)
