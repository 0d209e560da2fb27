package overlay

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/internal/merge"
)

func TestMarks(t *testing.T) {
	acl := map[string]string{"system.posix_acl_access": "x"}
	with := func(xattrs ...string) merge.Attributes {
		a := merge.Attributes{Mode: 0o755, Xattrs: map[string]string{}}
		for i := 0; i < len(xattrs); i += 2 {
			a.Xattrs[xattrs[i]] = xattrs[i+1]
		}
		return a
	}
	for name, test := range map[string]struct {
		node     merge.Node
		want     marks
		whiteout bool
	}{
		"opaque":           {merge.Node{Kind: merge.Directory, Attributes: with("trusted.overlay.opaque", "y")}, marks{opaque: true}, false},
		"holds whiteouts":  {merge.Node{Kind: merge.Directory, Attributes: with("trusted.overlay.opaque", "x")}, marks{}, false},
		"by a user":        {merge.Node{Kind: merge.Directory, Attributes: with("user.overlay.opaque", "y")}, marks{opaque: true}, false},
		"moved":            {merge.Node{Kind: merge.Directory, Attributes: with("trusted.overlay.redirect", "/a")}, marks{moved: true}, false},
		"only metadata":    {merge.Node{Kind: merge.Regular, Attributes: with("trusted.overlay.metacopy", "", "trusted.overlay.redirect", "/a", "trusted.overlay.origin", "x")}, marks{partial: true, copied: true}, false},
		"whiteout":         {merge.Node{Kind: merge.Special, Content: "20000 0:0"}, marks{}, true},
		"another device":   {merge.Node{Kind: merge.Special, Content: "20000 1:3"}, marks{}, false},
		"without device":   {merge.Node{Kind: merge.Regular, Attributes: with("user.overlay.whiteout", "")}, marks{whiteout: true}, true},
		"an empty file":    {merge.Node{Kind: merge.Regular}, marks{}, false},
		"others' are kept": {merge.Node{Kind: merge.Regular, Attributes: with("system.posix_acl_access", "x", "trusted.overlay.origin", "")}, marks{copied: true}, false},
	} {
		got := marksOf(test.node)
		wantRest := merge.Attributes{Mode: test.node.Mode}
		if name == "others' are kept" {
			wantRest.Xattrs = acl
		}
		if diff := cmp.Diff(wantRest, got.rest); diff != "" {
			t.Errorf("%s: other attributes (-want +got):\n%s", name, diff)
		}
		got.rest = merge.Attributes{}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(marks{})); diff != "" || isWhiteout(test.node, got) != test.whiteout {
			t.Errorf("%s: whiteout %v (-want +got):\n%s", name, isWhiteout(test.node, got), diff)
		}
	}
}
