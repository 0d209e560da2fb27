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

// OnlyShipped reports whether the policy is certainly the shipped one, judged by the
// files in apt's configuration directory, such as /etc/apt. It does not parse them,
// because that takes apt longer than some of its commands. It returns false if a file
// may set the policy, or cannot be read.
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

// decides matches text that may set the policy, turn an install into an upgrade,
// include another file, or name another apt.conf. apt has determined the directory
// before it reads files in it (apt-pkg/init.cc).
var decides = regexp.MustCompile(`(?i)apt-be|only-upgrade|#include|rootdir|(?:::|[{;\s]|^)main[\s"{/]`)

func mayDecide(content []byte) bool { return decides.Match(content) }
