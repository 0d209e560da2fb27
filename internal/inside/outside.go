package inside

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// OutsideNote is a file in a sandbox that lists the mounts of the running system for
// the hook: []parts.Mount in JSON.
const OutsideNote = "/run/apt-be/outside"

// noteOutside writes OutsideNote: the mounts on which upgraded packages must not have
// files. It omits file systems in memory, which have no packages' files, and /boot and
// the EFI system partition, which apt-be init handles.
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
