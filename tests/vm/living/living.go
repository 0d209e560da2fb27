// Package living makes machines that stay active while they are upgraded: they deliver
// mail, write logs and change databases. A witness outside of the machine records which
// entries must never be lost.
package living

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// Places are the places that a machine writes to, by the names of the writers.
var Places = []string{"mail", "lines", "syslog", "postgres", "mariadb"}

// packages are the installed packages.
var packages = []string{"postgresql", "mariadb-server", "mariadb-client", "rsyslog"}

// setup creates the databases, the accounts, the nested subvolumes of a container
// engine, and writers that start when they know their witness.
const setup = `set -eu
tar -xf /var/tmp/living.tar -C /
rm /var/tmp/living.tar

mkdir -p /var/log/journal
for conf in /etc/postgresql/*/main/conf.d; do
	printf 'shared_buffers = 16MB\nmin_wal_size = 32MB\nmax_wal_size = 64MB\n' >$conf/living.conf
done
printf '[mariadbd]\ninnodb_buffer_pool_size = 16M\ninnodb_log_file_size = 8M\n' >/etc/mysql/mariadb.conf.d/99-living.cnf
su postgres -c 'createuser --superuser root'
createdb living
psql -qX living -c 'create table entries (entry varchar(40) primary key)'
mariadb -e 'create database living; create table living.entries (entry varchar(40) primary key) engine innodb'

for user in alice bob; do
	useradd -m $user
	echo $user:stale | chpasswd
done
touch /var/mail/alice
chown alice:mail /var/mail/alice
chmod 660 /var/mail/alice

layers=/var/lib/docker/btrfs/subvolumes
mkdir -p $layers
btrfs -q subvolume create $layers/base 2>/dev/null || btrfs subvolume create $layers/base
echo of the base >$layers/base/file
btrfs subvolume snapshot $layers/base $layers/layer
echo of the layer >$layers/layer/upper
[ -d /var/lib/machines ] || btrfs subvolume create /var/lib/machines
btrfs subvolume create /var/lib/machines/box
echo of the box >/var/lib/machines/box/file

for place in PLACES; do
	systemctl enable living@$place
done
`

// install installs the databases, which takes longer than everything else.
var install = "apt-get -q -y --no-install-recommends install " + strings.Join(packages, " ") + " && apt-get -q clean"

// Machine has the parts of a living machine.
type Machine struct {
	Image image.Image
	// Next are the packages of its next upgrade: the database packages.
	Next []string
}

// New makes an image of a living machine, without apt-be, from that of a recipe with
// the named release.
func New(t guest.T, recipe string, release source.Release) Machine {
	t.Helper()
	files := source.Download(t, release, packages...)
	root := archive(t)
	laid, err := os.ReadFile(root)
	if err != nil {
		t.Fatalf("cannot read the files of a living machine: %v", err)
	}
	databases := image.Build(t, recipe).Layer(t, "databases", install+strings.Join(files, "\n"), func(g *guest.Guest) {
		source.New(t, files...).Use(t, g)
		g.Shell(t, install)
	})
	script := strings.ReplaceAll(setup, "PLACES", strings.Join(Places, " "))
	made := databases.Layer(t, "living", script+string(laid), func(g *guest.Guest) {
		g.Put(t, root, "/var/tmp/living.tar")
		g.Shell(t, script)
	})
	var upgraded []string
	for _, file := range files {
		if name := filepath.Base(file); strings.HasPrefix(name, "postgresql") || strings.HasPrefix(name, "mariadb") {
			upgraded = append(upgraded, file)
		}
	}
	return Machine{Image: made, Next: source.Next(t, upgraded)}
}

// archive returns the name of an archive with the files that are added to a machine's
// root.
func archive(t guest.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "apt-be-living.")
	if err != nil {
		t.Fatalf("cannot make an archive: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, source, _, _ := runtime.Caller(0)
	name := filepath.Join(dir, "living.tar")
	tar := exec.Command("tar", "--create", "--file", name, "--directory", filepath.Join(filepath.Dir(source), "root"),
		"--sort=name", "--mtime=@0", "--owner=root:0", "--group=root:0", "--mode=u=rwX,go=rX", ".")
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("cannot make an archive: %v\n%s", err, out)
	}
	return name
}
