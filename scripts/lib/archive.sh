# The Debian archive that this machine itself uses. Sourced, never run.
# shellcheck shell=bash

# archive_uri LABEL: the URI of the archive with that Release label
# ("Debian", "Debian-Security"), as apt knows it. Prints nothing if this
# machine has no such source. Needs package lists: archive_update first.
archive_uri() {
	apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' |
		awk -v label="$1" '$2 == label { print $1; exit }'
}

# archive_update: fetch this machine's package lists unless they are there.
archive_update() {
	if [ -z "$(archive_uri Debian)" ]; then
		apt-get -q update
	fi
}

# archive_sources SUITE: sources.list lines for a Debian suite and, where this
# machine has a security archive, its security suite.
archive_sources() {
	local suite=$1 main security
	main=$(archive_uri Debian)
	security=$(archive_uri Debian-Security)
	if [ -z "$main" ]; then
		echo "cannot find a Debian archive in this machine's apt sources" >&2
		return 1
	fi
	echo "deb $main $suite main"
	if [ -n "$security" ]; then
		echo "deb $security $suite-security main"
	fi
}

# require_packages PACKAGE...: install those that are not installed yet.
require_packages() {
	local package missing=()
	for package; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
	done
	if [ "${#missing[@]}" -gt 0 ]; then
		archive_update
		DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${missing[@]}"
	fi
}
