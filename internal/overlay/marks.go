package overlay

import (
	"strings"

	"github.com/apt-be/apt-be/internal/merge"
)

// marks are what overlayfs notes in the extended attributes of what is in an upper
// layer: those that begin with trusted.overlay., or with user.overlay. in a layer
// that was mounted with userxattr.
type marks struct {
	opaque   bool // a directory below which nothing of the lower layer is seen
	moved    bool // a directory that was another one in the lower layer (redirect_dir)
	partial  bool // a file whose content is in the lower layer (metacopy)
	copied   bool // it was there in the lower layer
	whiteout bool // it stands for nothing, in the form that needs no device
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
			m.opaque = value == "y" // "x" says that there are whiteouts in it
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

// isWhiteout says whether a node stands for something that was deleted.
func isWhiteout(n merge.Node, m marks) bool {
	return n.Kind == merge.Special && n.Content == "20000 0:0" || n.Kind == merge.Regular && n.Size == 0 && m.whiteout
}
