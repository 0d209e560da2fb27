package btrfs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/loop"
	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// goodDir is the directory of the archive with newer packages, in a machine's root.
const goodDir = packages.Dir + "/" + string(packages.Good)

// repository is a source of packages.
type repository struct {
	name    string
	prepare string // a script that puts the packages there
	source  string // sources.list
	args    string // of apt-get
	env     []string
	key     string // for /srv/key.gpg
	proxy   bool   // the packages come through the proxy
}

// testRepositories upgrades from every kind of source of apt: it works inside as
// outside, or is refused before any change.
func testRepositories(t *testing.T, l lab) {
	const trusted = "deb [trusted=yes] "
	disc := loop.Create(t, 256<<20)
	for _, r := range []repository{
		{name: "file: on its own file system", prepare: onDisc(disc, "/srv/repo"),
			source: trusted + "file:/srv/repo ./"},
		{name: "file: in memory", prepare: "mkdir /srv/repo; mount -t tmpfs none /srv/repo; cp -r " + goodDir + "/. /srv/repo",
			source: trusted + "file:/srv/repo ./"},
		{name: "copy: in memory", prepare: "mkdir /srv/repo; mount -t tmpfs none /srv/repo; cp -r " + goodDir + "/. /srv/repo",
			source: trusted + "copy:/srv/repo ./"},
		{name: "lists in memory", prepare: "mount -t tmpfs none /var/lib/apt/lists", source: trusted + "file:" + goodDir + " ./"},
		{name: "file: below /tmp", prepare: "cp -r " + goodDir + " '/tmp/a repo'", source: trusted + "file:/tmp/a%20repo ./"},
		{name: "copy: on a medium below /run", prepare: onDisc(disc, "/run/media/root/disc"),
			source: "Types: deb\nURIs: copy:///run/media/root/disc\nSuites: ./\nTrusted: yes\n"},
		{name: "file: by a link to /var/run", prepare: "cp -r " + goodDir + " /run/repo; ln -s /var/run/repo /srv/repo", source: trusted + "file:/srv/repo ./"},
		{name: "mirror+file: below /run", prepare: "cp -r " + goodDir + " /run/repo; echo file:/run/repo/ >/run/repo/mirrors", source: trusted + "mirror+file:/run/repo/mirrors ./"},
		{name: "sources below /tmp", prepare: "cp /etc/apt/sources.list /tmp/list; : >/etc/apt/sources.list; rm -f /etc/apt/sources.list.d/*",
			source: trusted + "file:" + goodDir + " ./", args: "-o Dir::Etc::SourceList=/tmp/list"},
	} {
		t.Run(r.name, func(t *testing.T) { r.check(t, l, nil) })
	}
	t.Run("file: in /tmp itself", func(t *testing.T) { testRepositoryRefused(t, l) })
	t.Run("cdrom:", func(t *testing.T) { testDisc(t, l, disc) })
	t.Run("by HTTP", func(t *testing.T) { testWebRepositories(t, l) })
}

// write writes the repository's sources.
func (r repository) write(t *testing.T, m *machine.Machine) {
	t.Helper()
	m.WriteFile(t, "/etc/apt/sources.list", "")
	file := "/etc/apt/sources.list"
	if strings.HasPrefix(r.source, "Types:") {
		file = "/etc/apt/sources.list.d/test.sources"
	}
	m.WriteFile(t, file, r.source+"\n")
	m.WriteFile(t, "/srv/key.gpg", r.key)
	m.Shell(t, r.prepare)
}

// check upgrades a machine from the repository.
func (r repository) check(t *testing.T, l lab, web *webArchive) {
	m := l.Start(t, with, running)
	defer l.done(t, m)
	r.write(t, m)
	apt := func(command string) machine.Result {
		return m.Run(t, machine.Command{Args: strings.Fields("apt-get -y " + command + " " + r.args), Env: r.env})
	}
	if result := apt("update"); result.Status != 0 {
		t.Fatalf("status %d:\n%s", result.Status, result.Output)
	}
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	result := apt("dist-upgrade")
	if result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	for _, line := range strings.Split(result.Output, "\n") {
		if strings.HasPrefix(line, "W:") || strings.HasPrefix(line, "Warning:") || strings.Contains(line, "cannot show") || strings.Contains(line, "cannot protect") {
			t.Errorf("it says %q", line)
		}
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	checkUpgraded(t, l, m, "")
	if web == nil {
		return
	}
	proxied, uids := web.since()
	if len(uids) != 1 || uids[0] == "0" {
		t.Errorf("packages were asked for by the users %q, want one that is not root", uids)
	}
	if (proxied > 0) != r.proxy {
		t.Errorf("%d packages came by the proxy, want some: %v", proxied, r.proxy)
	}
}

// testRepositoryRefused uses a repository in a directory that the sandbox cannot show.
func testRepositoryRefused(t *testing.T, l lab) {
	m := l.Start(t, with, running)
	defer l.done(t, m)
	repository{prepare: "cp -r " + goodDir + "/. /tmp", source: "deb [trusted=yes] file:/tmp ./"}.write(t, m)
	m.Shell(t, "apt-get -q update")
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	result := m.Run(t, frontends()[0].quiet())
	if result.Status != 100 || !strings.Contains(result.Output, "cannot show /tmp in a boot environment") {
		t.Errorf("status %d, want 100, and why:\n%s", result.Status, result.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	if found := environments(t, m); len(found) > 0 {
		t.Errorf("boot environments %v, want none", found)
	}
}

// onDisc is a script that mounts a disc with the packages of the good archive,
// read-only. It is a separate file system, because apt also identifies a disc by its
// free space.
func onDisc(disc *loop.Image, dir string) string {
	return strings.NewReplacer("DIR", dir, "DEVICE", disc.Device).Replace(`mkdir -p DIR
mount -t btrfs DEVICE DIR
cp -r ` + goodDir + `/. DIR; mkdir -p DIR/.disk; echo 'apt-be test disc' >DIR/.disk/info
umount DIR
mount -t btrfs -o ro DEVICE DIR
`)
}

// testDisc upgrades from a mounted disc.
func testDisc(t *testing.T, l lab, disc *loop.Image) {
	m := l.Start(t, with, running)
	defer l.done(t, m)
	m.Shell(t, onDisc(disc, "/media/cdrom")+`: >/etc/apt/sources.list
apt-cdrom --no-mount add # and its lists of packages, with it
sed -i 's/^deb cdrom:/deb [trusted=yes] cdrom:/' /etc/apt/sources.list`)
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	result := m.Run(t, frontends()[0].quiet())
	if result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	checkUpgraded(t, l, m, "")
}

// testWebRepositories uses a server with a name and a password in a file with
// restricted permissions, proxies that alone know the name of the host, and a signed
// archive.
func testWebRepositories(t *testing.T, l lab) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(l.Path(plain+packages.Dir))); err != nil {
		t.Fatal(err)
	}
	key := sign(t, filepath.Join(dir, string(packages.Good)))
	web, proxy := serve(t, dir), serve(t, dir)
	web.user, web.password = "me", "secret"
	url := fmt.Sprintf("http://%s/%s", web.address, packages.Good)
	const far = "deb [trusted=yes] http://archive.invalid/" + string(packages.Good) + " ./"
	password := func(file, owner string) string {
		return strings.NewReplacer("FILE", file, "OWNER", owner, "HOST", "http://"+web.address).Replace(
			"printf 'machine HOST\\nlogin me\\npassword secret\\n' >FILE; chown OWNER FILE; chmod 600 FILE; ")
	}
	configured := func(item, value string) string {
		return fmt.Sprintf("echo '%s \"%s\";' >/etc/apt/apt.conf.d/99test; ", item, value)
	}
	const trusted = "deb [trusted=yes] "
	for _, r := range []repository{
		{name: "auth.conf", source: trusted + url + " ./", prepare: password("/etc/apt/auth.conf", "root")},
		{name: "auth.conf.d of _apt", source: trusted + url + " ./", prepare: password("/etc/apt/auth.conf.d/test.conf", "_apt")},
		{name: "auth.conf below /run", source: trusted + url + " ./", prepare: password("/run/auth.conf", "root") + configured("Dir::Etc::netrc", "/run/auth.conf")},
		{name: "signed", source: "deb [signed-by=/etc/apt/keyrings/test.gpg] " + url + " ./", key: key,
			prepare: password("/etc/apt/auth.conf", "root") + "mkdir -p /etc/apt/keyrings; cp /srv/key.gpg /etc/apt/keyrings/test.gpg"},
		{name: "signed, deb822, keyring below /run", source: "Types: deb\nURIs: " + url + "\nSuites: ./\nSigned-By: /run/keys/test.gpg\n", key: key,
			prepare: password("/etc/apt/auth.conf", "root") + "mkdir /run/keys; cp /srv/key.gpg /run/keys/test.gpg"},
		{name: "a proxy", source: far, proxy: true, prepare: configured("Acquire::http::Proxy", "http://"+proxy.address)},
		{name: "a proxy that a script finds", source: far, proxy: true,
			prepare: configured("Acquire::http::Proxy-Auto-Detect", "/run/detect") +
				"printf '#!/bin/sh\\necho http://" + proxy.address + "\\n' >/run/detect; chmod 755 /run/detect"},
		{name: "a proxy of the environment", source: far, proxy: true, env: []string{"http_proxy=http://" + proxy.address}},
	} {
		t.Run(r.name, func(t *testing.T) {
			if r.proxy {
				r.check(t, l, proxy)
			} else {
				r.check(t, l, web)
			}
		})
	}
}

// sign signs an archive with a new key, and returns the key.
func sign(t *testing.T, dir string) (key string) {
	t.Helper()
	home := t.TempDir()
	gpg := func(args ...string) string {
		t.Helper()
		command := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--quiet", "--passphrase", ""}, args...)...)
		out, err := command.Output()
		if err != nil {
			t.Fatalf("gpg %q: %v", args, err)
		}
		return string(out)
	}
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() })
	gpg("--quick-generate-key", "apt-be tests", "rsa3072", "sign", "1d")
	gpg("--output", filepath.Join(dir, "InRelease"), "--clear-sign", filepath.Join(dir, "Release"))
	return gpg("--export")
}
