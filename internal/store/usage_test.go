package store_test

import (
	"testing"

	"github.com/apt-be/apt-be/internal/store"
)

func TestFreed(t *testing.T) {
	shares := []store.ExclusiveUsage{
		{Units: []int{0}, Bytes: 1},
		{Units: []int{1}, Bytes: 10},
		{Units: []int{0, 1}, Bytes: 100},
		{Units: []int{1, 2}, Bytes: 1000},
		{Units: []int{0, 1, 2}, Bytes: 10000},
	}
	for _, tt := range []struct {
		units []int
		want  uint64
	}{
		{nil, 0},
		{[]int{0}, 1},
		{[]int{1}, 10},
		{[]int{2}, 0},
		{[]int{0, 1}, 111},
		{[]int{2, 1}, 1010},
		{[]int{0, 2}, 1},
		{[]int{2, 1, 0}, 11111},
		{[]int{3}, 0},
	} {
		if got := store.Freed(shares, tt.units...); got != tt.want {
			t.Errorf("Freed(%v) = %d, want %d", tt.units, got, tt.want)
		}
	}
}
