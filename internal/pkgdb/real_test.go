package pkgdb

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The tests here compare with dpkg and apt on this machine's own database.

func output(t testing.TB, command string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(command, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	lines := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
	slices.Sort(lines)
	return lines
}

func readReal(t testing.TB) *DB {
	t.Helper()
	db, err := Read("/")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestReadAgreesWithDpkg(t *testing.T) {
	var got []string
	for _, p := range readReal(t).Packages {
		if p.Status != "not-installed" {
			got = append(got, fmt.Sprintf("%s %s %s %s %s %s", p.Name, p.Arch, p.Version, p.Want, p.Flag, p.Status))
		}
	}
	slices.Sort(got)
	want := output(t, "dpkg-query", "-W", "-f", "${Package} ${Architecture} ${Version} ${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status}\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dpkg-query -W (-dpkg +Read):\n%s", diff)
	}
	t.Logf("%d packages", len(got))
}

func TestAutoAgreesWithApt(t *testing.T) {
	var got []string
	for _, p := range readReal(t).Packages {
		if p.Auto && p.Present() {
			got = append(got, p.Name)
		}
	}
	slices.Sort(got)
	want := output(t, "apt-mark", "showauto")
	for i, name := range want {
		want[i], _, _ = strings.Cut(name, ":")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("apt-mark showauto (-apt +Read):\n%s", diff)
	}
	t.Logf("%d packages", len(got))
}

func TestReleaseOfThisMachine(t *testing.T) {
	want := output(t, "sh", "-c", `. /etc/os-release; echo "$PRETTY_NAME"`)[0]
	if got, err := Release("/"); err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestVersionOrderAgreesWithDpkg(t *testing.T) {
	versions := []string{"1.0", "1.0-0", "1.0-1", "1:0.1", "0:1.0", "1.0~rc1", "1.0~~", "1.0+b1", "1.0-1+deb12u2", "1.0-1~bpo12+1", "1.10", "1.9", "2.36-9+deb12u14", "6.1.0-18-amd64", "6.12~rc3-1", "1.0a", "1.0.", "00001.0", "0~git20260101123456789012", "0~git20260102123456789012"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		version := []byte{'0' + byte(random.IntN(10))}
		for range random.IntN(8) {
			version = append(version, "0123456789.+~ab-"[random.IntN(16)])
		}
		versions = append(versions, string(version)+"9")
	}
	var script strings.Builder
	type pair struct{ a, b string }
	var pairs []pair
	for range 400 {
		p := pair{versions[random.IntN(len(versions))], versions[random.IntN(len(versions))]}
		pairs = append(pairs, p)
		fmt.Fprintf(&script, "if dpkg --compare-versions '%[1]s' lt '%[2]s'; then echo -1; elif dpkg --compare-versions '%[1]s' gt '%[2]s'; then echo 1; else echo 0; fi\n", p.a, p.b)
	}
	out, err := exec.Command("sh", "-c", script.String()).Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, word := range strings.Fields(string(out)) {
		order, err := compareVersions(pairs[i].a, pairs[i].b)
		if err != nil || fmt.Sprint(order) != word {
			t.Errorf("%s, %s: %d, %v; dpkg says %s", pairs[i].a, pairs[i].b, order, err, word)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	b.ReportMetric(float64(len(readReal(b).Packages)), "packages")
	for b.Loop() {
		readReal(b)
	}
}

func BenchmarkCompare(b *testing.B) {
	db := readReal(b)
	for b.Loop() {
		if _, err := Compare(db, db); err != nil {
			b.Fatal(err)
		}
	}
}
