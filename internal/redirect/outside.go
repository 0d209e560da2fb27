package redirect

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// OutsideNote tells the hook in a sandbox which mounts are the running system's: a
// list of parts.Mount in JSON.
const OutsideNote = "/run/apt-be/outside"

// noteOutside has the hook know of the mounts on which packages that are upgraded
// may have no files. What is in memory holds none; of /boot and the EFI system
// partition apt-be init takes care.
func noteOutside(spec *sandbox.Spec, allowed []string) error {
	var outside []parts.Mount
	for _, share := range spec.ForeignMounts {
		if share.Own != "" || share.Volatile || slices.Contains(allowed, share.Target) ||
			slices.Contains([]string{"/boot", "/boot/efi", "/efi"}, share.Target) {
			continue
		}
		what := fmt.Sprintf("%s of %s", share.Type, share.Source)
		if share.Within != "" {
			what = fmt.Sprintf("the subvolume %s of %s", share.Within, share.Source)
		}
		outside = append(outside, parts.Mount{Place: share.Target, What: what})
	}
	text, err := json.Marshal(outside)
	spec.Texts[OutsideNote] = string(text)
	return err
}
