package merge

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestCompare(t *testing.T) {
	before := grow("a=1", "b=1", "c=1", "d/", "d/x=1", "e/", "e/x=1", "f>1", "g=1", "same=1", "empty=")
	after := grow("a=2", "b=11", "d=1", "e/", "e/y=1", "f>2", "g=1", "h/", "h/deep/", "h/deep/x=1", "same=1", "empty=")
	changed := after["g"]
	changed.Mode = 0o600
	after["g"] = changed
	var got []string
	err := Compare(before, after, func(name string, a, b Tree) (bool, error) {
		return a.(tree)[name].Content == b.(tree)[name].Content, nil
	}, func(d Difference) error {
		got = append(got, fmt.Sprintf("%s: %s, %s, %t", d.Path, d.Before.Kind, d.After.Kind, d.Content))
		return nil
	})
	want := []string{
		"a: a file, a file, true", "b: a file, a file, true", "c: a file, nothing, true",
		"d: a directory, a file, true", "d/x: a file, nothing, true",
		"e/x: a file, nothing, true", "e/y: nothing, a file, true",
		"f: a symbolic link, a symbolic link, true", "g: a file, a file, false",
		"h: nothing, a directory, true", "h/deep: nothing, a directory, true", "h/deep/x: nothing, a file, true",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v\nwant %q", got, err, want)
	}
}

func TestCompareEnds(t *testing.T) {
	before, after := grow("a=1", "b=1"), grow("a=2", "b=2")
	same := func(string, Tree, Tree) (bool, error) { return false, nil }
	stop := errors.New("stop")
	visited := 0
	err := Compare(before, after, same, func(Difference) error { visited++; return stop })
	if !errors.Is(err, stop) || visited != 1 {
		t.Errorf("%v after %d", err, visited)
	}
	after["a"] = Node{Kind: Regular, Content: "unreadable"}
	if err := Compare(before, after, same, func(Difference) error { return nil }); err == nil {
		t.Error("what can't be read is no error")
	}
}
