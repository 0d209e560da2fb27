package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestSplitAptArgs(t *testing.T) {
	for _, tt := range []struct {
		args string
		own  aptArgs
		rest string
		bad  bool
	}{
		{args: "", rest: ""},
		{args: "-y --name new bash", own: aptArgs{name: "new"}, rest: "-y bash"},
		{args: "--name=new", own: aptArgs{name: "new"}},
		{args: "bash --in old -o A=b", own: aptArgs{in: "old"}, rest: "bash -o A=b"},
		{args: "--in=old -- --name x", own: aptArgs{in: "old"}, rest: "-- --name x"},
		{args: "--inside --names=x", rest: "--inside --names=x"},
		{args: "-h", own: aptArgs{help: true}},
		{args: "-y --help", own: aptArgs{help: true}, rest: "-y"},
		{args: "-- --help", rest: "-- --help"},
		{args: "--in", bad: true},
		{args: "--name", bad: true},
		{args: "--name=", bad: true},
		{args: "--name=a/b", bad: true},
		{args: "--in -- x", bad: true},
		{args: "--in a --name b", bad: true},
	} {
		own, rest, err := splitAptArgs(strings.Fields(tt.args))
		if tt.bad {
			if !errors.As(err, &usageError{}) {
				t.Errorf("splitAptArgs(%s) = %v, want a usage error", tt.args, err)
			}
			continue
		}
		if err != nil || own != tt.own || !slices.Equal(rest, strings.Fields(tt.rest)) {
			t.Errorf("splitAptArgs(%s) = %+v, %q, %v, want %+v, %q", tt.args, own, rest, err, tt.own, tt.rest)
		}
	}
}
