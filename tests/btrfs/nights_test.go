package btrfs_test

import "testing"

func testNights(t *testing.T, l lab) {}
