package upgrade

import (
	"context"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/dedupe"
)

// shareUnchanged reflinks the files of a build that were written again unchanged, so
// that they take no space. A failure only costs the space.
func (u *Upgrader) shareUnchanged(ctx context.Context, build *be.Build) {
	st := u.Registry.Store()
	report, err := dedupe.Run(ctx, st.Path(build.Base), st.Path(build.Path), dedupe.Options{Parts: be.PlacesOf(build.Record.Parts)})
	if err != nil {
		u.Log.WithError(err).Warnf("cannot share the unchanged files of %s", build.Name)
		return
	}
	if report.Failed.Files > 0 {
		u.Log.Warnf("cannot share %d files of %s, the first because of this: %s", report.Failed.Files, build.Name, report.Failure)
	}
	u.Log.Debugf("%d unchanged files share %d bytes with the running system", report.Shared.Files, report.Shared.Bytes)
}
