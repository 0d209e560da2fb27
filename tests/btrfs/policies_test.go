package btrfs_test

import (
	"testing"
)

func testPolicies(t *testing.T, l lab) {}
