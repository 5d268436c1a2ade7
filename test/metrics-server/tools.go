//go:build tools

// Package metricsserver names the upstream program, so that go.mod and go.sum pin every module it needs.
package metricsserver

import _ "sigs.k8s.io/metrics-server/cmd/metrics-server"
