package aptconf

import (
	"bytes"
	_ "embed"
	"os"
	"path/filepath"
	"regexp"
)

// asShipped is the policy as the package has it.
//
//go:embed 50apt-be
var asShipped []byte

// OnlyShipped says whether the policy can be no other than the shipped one, by
// what is in apt's directory of configuration, such as /etc/apt. It does not
// parse, which takes apt longer than some of its own commands: where anything is
// in there that might set the policy, or that can't be read, it says no.
func OnlyShipped(dir string) bool {
	parts := filepath.Join(dir, "apt.conf.d")
	entries, err := os.ReadDir(parts)
	if err != nil {
		return false
	}
	found := false
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(parts, entry.Name()))
		switch {
		case err != nil:
			return false
		case entry.Name() == "50apt-be":
			if found = bytes.Equal(content, asShipped); !found {
				return false
			}
		case mayDecide(content):
			return false
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, "apt.conf"))
	return found && (os.IsNotExist(err) || err == nil && !mayDecide(content))
}

// decides finds what may set the policy, make an upgrade of an install, include another file, or name another one
// for apt.conf; apt has chosen the directory by the time that it reads a file in it
// (apt-pkg/init.cc).
var decides = regexp.MustCompile(`(?i)apt-be|only-upgrade|#include|rootdir|(?:::|[{;\s]|^)main[\s"{/]`)

func mayDecide(content []byte) bool { return decides.Match(content) }
