package packages

import "path/filepath"

// The archives of successive nights. Each contains the packages of the previous
// night, some in newer versions.
const (
	// FirstNight has newer versions of Sendmail, of Rebooter, of a package with a
	// conffile, and of one more package.
	FirstNight Variant = "first-night"
	// SecondNight has a newer version of one of these packages; its postinst sends
	// mail.
	SecondNight Variant = "second-night"
	// ThirdNight has a newer version of Sendmail.
	ThirdNight Variant = "third-night"
)

// Packages of these archives; the first versions are in Installed.
const (
	// Sendmail is a sendmail(8) that appends mail to /var/mail/root, after a line with
	// its version and arguments.
	Sendmail = "bt-mta"
	// Rebooter sets the reboot-required flag.
	Rebooter = "bt-reboot"
)

func buildNights(dir string) error {
	conf := deb{name: "bt-conf", version: "2.0", files: map[string]string{"/etc/bt-conf.conf": "version = 2.0\n"}}
	many := func(version string, control map[string]string) deb {
		return deb{name: "bt-many1", version: version, control: control,
			files: map[string]string{"/usr/share/bt-trig/bt-many1": version + "\n"}}
	}
	mails := map[string]string{"postinst": "#!/bin/sh\nprintf 'Subject: from a script\\n\\nbt-many1 was configured.\\n' | /usr/sbin/sendmail root\n"}
	for variant, debs := range map[Variant][]deb{
		FirstNight:  {mta("2.0"), rebooter("2.0"), conf, many("2.0", nil)},
		SecondNight: {mta("2.0"), rebooter("2.0"), conf, many("3.0", mails)},
		ThirdNight:  {mta("3.0"), rebooter("2.0"), conf, many("3.0", mails)},
	} {
		if err := build(filepath.Join(dir, string(variant)), debs); err != nil {
			return err
		}
	}
	return nil
}

func mta(version string) deb {
	return deb{name: Sendmail, version: version, fields: []string{"Provides: mail-transport-agent"}, files: map[string]string{
		"/usr/sbin/sendmail": "#!/bin/sh\n{ echo \"== " + version + " $*\"; cat; } >>/var/mail/root\n",
	}}
}

func rebooter(version string) deb {
	d := deb{name: Rebooter, version: version}
	if version != "1.0" {
		d.control = map[string]string{"postinst": "#!/bin/sh\necho '*** System restart required ***' >/run/reboot-required\n" +
			"echo " + Rebooter + " >>/run/reboot-required.pkgs\n"}
	}
	return d
}
