package btrfs_test

import (
	"testing"
)

func testRoom(t *testing.T, l lab) {}
