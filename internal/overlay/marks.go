package overlay

import (
	"strings"

	"github.com/apt-be/apt-be/internal/merge"
)

// marks are overlayfs's extended attributes of a file in an upper layer. Their prefix
// is trusted.overlay., or user.overlay. in a layer that was mounted with userxattr.
type marks struct {
	opaque   bool // a directory that hides the lower directory
	moved    bool // a directory that had another name in the lower layer (redirect_dir)
	partial  bool // a file whose content is in the lower layer (metacopy)
	copied   bool // the file existed in the lower layer
	whiteout bool // a deleted file, in the form without a device node
	rest     merge.Attributes
}

func marksOf(n merge.Node) marks {
	m := marks{rest: n.Attributes}
	m.rest.Xattrs = nil
	for name, value := range n.Xattrs {
		mark, ok := strings.CutPrefix(name, "trusted.overlay.")
		if !ok {
			mark, ok = strings.CutPrefix(name, "user.overlay.")
		}
		if !ok {
			if m.rest.Xattrs == nil {
				m.rest.Xattrs = map[string]string{}
			}
			m.rest.Xattrs[name] = value
			continue
		}
		switch mark {
		case "opaque":
			m.opaque = value == "y" // "x" means that the directory contains whiteouts
		case "redirect":
			m.moved = n.Kind == merge.Directory
		case "metacopy":
			m.partial = true
		case "origin":
			m.copied = true
		case "whiteout":
			m.whiteout = true
		}
	}
	return m
}

// isWhiteout reports whether a node represents a deleted file.
func isWhiteout(n merge.Node, m marks) bool {
	return n.Kind == merge.Special && n.Content == "20000 0:0" || n.Kind == merge.Regular && n.Size == 0 && m.whiteout
}
