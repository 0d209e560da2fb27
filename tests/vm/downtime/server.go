package main

import (
	"strings"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// row is in the page if Apache gets it from MariaDB.
const row = "a pound of nails"

// packages are the server's packages that upgrades replace. None of them causes a new
// initrd, so that a soft-reboot suffices. Packages that depend on the exact version of
// another one are included together.
func packages() []string {
	return []string{
		"apache2", "apache2-bin", "apache2-data", "apache2-utils", "libaprutil1-dbd-mysql", "mariadb-server", "mariadb-client",
		"adduser", "apt", "apt-utils", "base-files", "bash", "coreutils", "debconf", "diffutils", "dpkg", "findutils",
		"gcc-14-base", "grep", "gzip", "libc-bin", "libc6", "libgcc-s1", "libpam0g", "libperl5.40", "libssl3t64",
		"libstdc++6", "openssh-client", "openssh-server", "openssh-sftp-server", "openssl", "passwd", "perl",
		"perl-base", "perl-modules-5.40", "procps", "sed", "tar", "zlib1g",
	}
}

// setup makes a server from a machine that can install packages. The database has a
// separate subvolume, so all environments use the same one. The page queries it at each
// request, on a connection that Apache keeps: on an emulated processor that costs less
// than a script.
const setup = `set -eu
device=$(findmnt -no SOURCE / | sed 's/\[.*//')
mount -o subvolid=5 "$device" /mnt
btrfs subvolume create /mnt/@mysql
umount /mnt
mkdir /var/lib/mysql
echo "UUID=$(findmnt -no UUID /) /var/lib/mysql btrfs defaults,subvol=@mysql 0 0" >>/etc/fstab
mount /var/lib/mysql

apt-get -q -y --no-install-recommends install PACKAGES
mariadb <<-'SQL'
	create database shop;
	create table shop.goods (id int primary key, name varchar(40) not null);
	insert into shop.goods values (1, 'ROW');
	create user 'www-data'@localhost identified via unix_socket;
	grant select on shop.* to 'www-data'@localhost;
SQL
echo '<!--#echo var="row" -->' >/var/www/html/page.shtml
cat >/etc/apache2/conf-available/shop.conf <<-'CONF'
	ServerName shop.example
	DBDriver mysql
	DBDParams "host=localhost user=www-data dbname=shop"
CONF
cat >/etc/apache2/sites-available/000-default.conf <<-'SITE'
	<VirtualHost *:80>
		DocumentRoot /var/www/html
		<Directory /var/www/html>
			Options +Includes
		</Directory>
		RewriteEngine on
		RewriteMap goods "dbd:select name from goods where id = %s"
		RewriteRule ^/$ /page.shtml [E=row:${goods:1}]
	</VirtualHost>
SITE
a2enmod -q dbd rewrite include
a2enconf -q shop
systemctl restart apache2
apt-get -q clean
`

// server returns the image of a prepared server with apt-be, and the packages of its
// next upgrade.
func server(t guest.T) (image.Image, []string) {
	t.Helper()
	files := source.Download(t, source.Stable, packages()...)
	script := strings.NewReplacer("PACKAGES", strings.Join(packages(), " "), "ROW", row).Replace(setup)
	prepared := image.Installed(t, image.BIOSGRUBStable).Layer(t, "init", "", func(g *guest.Guest) {
		g.Shell(t, "apt-be init -y")
	})
	installed := prepared.Layer(t, "server", script+strings.Join(files, "\n"), func(g *guest.Guest) {
		source.New(t, files...).Use(t, g)
		g.Shell(t, script)
	})
	return installed, source.Next(t, files)
}
