package internal_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// required returns the modules that go.mod requires directly, by path and version.
func required(t *testing.T) (goMod string, versions map[string]string) {
	t.Helper()
	data, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	versions = map[string]string{}
	line := regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) (v\S+)$`)
	for _, match := range line.FindAllStringSubmatch(string(data), -1) {
		versions[match[1]] = match[2]
	}
	return string(data), versions
}

func TestGoModGoVersion(t *testing.T) {
	goMod, _ := required(t)
	if !regexp.MustCompile(`(?m)^go 1\.24(\.\d+)?$`).MatchString(goMod) {
		t.Error("go.mod does not say go 1.24: Debian stable could not build it")
	}
	if strings.Contains(goMod, "\ntoolchain ") {
		t.Error("go.mod asks for a toolchain: go would download one")
	}
}

func TestGoModRequires(t *testing.T) {
	_, versions := required(t)
	for _, path := range []string{
		"github.com/containerd/btrfs/v2", "github.com/knqyf263/go-deb-version",
		"pault.ag/go/debian", "github.com/sirupsen/logrus",
	} {
		if versions[path] == "" {
			t.Errorf("go.mod does not require %s", path)
		}
	}
	if got := versions["github.com/sirupsen/logrus"]; older(t, got, "v1.10.1") {
		t.Errorf("logrus is %s, want v1.10.1 or newer", got)
	}
	if got := versions["golang.org/x/sys"]; got == "" || older(t, "v0.41.0", got) {
		t.Errorf("golang.org/x/sys is %q, want v0.41.0 or older: newer ones need a newer go", got)
	}
}

// older compares the numbers of two versions vX.Y.Z.
func older(t *testing.T, a, b string) bool {
	t.Helper()
	x, y := strings.Split(strings.TrimPrefix(a, "v"), "."), strings.Split(strings.TrimPrefix(b, "v"), ".")
	if len(x) != 3 || len(y) != 3 {
		t.Fatalf("%q or %q is no version", a, b)
	}
	for i := range x {
		m, err := strconv.Atoi(x[i])
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(y[i])
		if err != nil {
			t.Fatal(err)
		}
		if m != n {
			return m < n
		}
	}
	return false
}
