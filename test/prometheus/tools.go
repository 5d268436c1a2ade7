//go:build tools

// Package prometheus names the upstream program, so that go.mod and go.sum pin every module it needs.
package prometheus

import _ "github.com/prometheus/prometheus/cmd/prometheus"
