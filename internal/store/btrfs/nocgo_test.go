//go:build !cgo

package btrfs

import (
	"strings"
	"testing"
)

func TestOpenSaysWhyItCannot(t *testing.T) {
	for name, open := range map[string]func(string) (*Store, error){"Open": Open, "OpenDevice": OpenDevice} {
		if s, err := open("/"); s != nil || err == nil || !strings.Contains(err.Error(), "without cgo") {
			t.Errorf("%s = %v, %v, want an error that names cgo", name, s, err)
		}
	}
}
