package setup

import (
	"context"
	"os"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
)

// readDefaults prints the kernel parameters of grub-mkconfig, from the files that it
// reads.
const readDefaults = `set -e
. /etc/default/grub
for file in /etc/default/grub.d/*.cfg; do
	[ ! -e "$file" ] || . "$file"
done
printf '%s\n' "${GRUB_CMDLINE_LINUX:-} ${GRUB_CMDLINE_LINUX_DEFAULT:-}"`

// noteParameters records the configured kernel parameters of the running environment:
// those of this boot may be for a rescue.
func (i *Installer) noteParameters(ctx context.Context, loader string) error {
	text := ""
	if loader == be.LoaderGRUB {
		if !isFile(i.Host.path("etc/default/grub")) {
			return nil
		}
		out, err := i.Host.Run(ctx, "sh", "-c", readDefaults)
		if err != nil {
			return err
		}
		text = out
	} else {
		data, err := os.ReadFile(i.Host.path("etc/kernel/cmdline"))
		if err != nil {
			return nil // kernel-install also takes those of this boot
		}
		text = string(data)
	}
	e, err := i.Registry.Running()
	if err != nil {
		return err
	}
	return i.Registry.Change(e, func(r *be.Record) { r.Parameters = strings.TrimSpace(text) })
}
