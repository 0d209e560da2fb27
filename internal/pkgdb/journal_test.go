package pkgdb

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cutOff returns the database of a killed dpkg, with every state, and every way in
// which the journal overrides the status file.
func cutOff(t *testing.T) (root string) {
	t.Helper()
	record := func(name, arch, multi, version, status string) string {
		text := "Package: " + name + "\nStatus: " + status + "\nMaintainer: A <a@example.org>\nArchitecture: " + arch + "\n"
		if multi != "" {
			text += "Multi-Arch: " + multi + "\n"
		}
		switch {
		case strings.HasSuffix(status, "triggers-pending"):
			text += "Triggers-Pending: ldconfig\n"
		case strings.HasSuffix(status, "triggers-awaited"):
			text += "Triggers-Awaited: pending\n"
		}
		return text + "Version: " + version + "\nDescription: x\n\n"
	}
	status := record("switch", "amd64", "", "1", "install ok installed") +
		record("foreign", "amd64", "foreign", "1", "install ok installed") +
		record("same", "amd64", "same", "1", "install ok installed") +
		record("same", "i386", "same", "1", "install ok installed") +
		record("left", "amd64", "", "1", "install ok installed")
	for i, state := range []string{"installed", "half-installed", "unpacked", "half-configured", "triggers-awaited", "config-files"} {
		status += record(fmt.Sprintf("state%d", i), "amd64", "", "1", "install ok "+state)
	}
	status += record("pending", "amd64", "", "1", "install ok triggers-pending") +
		record("reinst", "amd64", "", "1", "install reinstreq half-installed")
	return makeRoot(t, map[string]string{
		statusFile:                  status,
		"var/lib/dpkg/arch":         "amd64\ni386\n",
		"var/lib/dpkg/info/format":  "1\n",
		"var/lib/dpkg/updates/0000": record("switch", "all", "", "2", "install ok unpacked"),
		"var/lib/dpkg/updates/0001": record("same", "i386", "same", "2", "install ok unpacked"),
		"var/lib/dpkg/updates/0002": record("foreign", "all", "foreign", "2", "install ok half-configured"),
		"var/lib/dpkg/updates/0003": record("new", "amd64", "", "1", "install reinstreq half-installed"),
		"var/lib/dpkg/updates/0004": record("left", "amd64", "", "1", "deinstall ok config-files"),
		"var/lib/dpkg/updates/0005": record("switch", "all", "", "2", "install ok half-configured"),
	})
}

func TestJournalAgreesWithDpkg(t *testing.T) {
	root := cutOff(t)
	db, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range db.Packages {
		got = append(got, fmt.Sprintf("%s %s %s %s %s %s", p.Name, p.Arch, p.Version, p.Want, p.Flag, p.Status))
	}
	slices.Sort(got)
	want := output(t, "dpkg-query", "--admindir="+filepath.Join(root, "var/lib/dpkg"), "-W", "-f",
		"${Package} ${Architecture} ${Version} ${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status}\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dpkg-query -W (-dpkg +Read):\n%s", diff)
	}
}

func TestBrokenAgreesWithDpkgAudit(t *testing.T) {
	root := cutOff(t)
	db, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range db.Broken() {
		got = append(got, p.Name)
	}
	// Exit status 1 means that audit has findings.
	out, _ := exec.Command("dpkg", "--admindir="+filepath.Join(root, "var/lib/dpkg"), "--audit").Output()
	states, _, _ := strings.Cut(string(out), "The following packages are missing")
	var want []string
	for _, match := range regexp.MustCompile(`(?m)^ ([a-z0-9]+)(?::[a-z0-9]+)?(?: |$)`).FindAllStringSubmatch(states, -1) {
		want = append(want, match[1])
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dpkg --audit (-dpkg +Broken):\n%s\n%s", diff, out)
	}
}
