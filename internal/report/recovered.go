package report

import (
	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
)

// TellRecovered prints what recovery did with the leftovers of interrupted runs.
func TellRecovered(notice *ui.Notice, log logrus.FieldLogger, recovered []txn.Recovered) {
	for _, r := range recovered {
		switch {
		case r.Err != nil:
			log.WithError(r.Err).Warnf("cannot clean up after a run that was cut off (%s)", r.Title)
		case !r.Done && r.Title == "": // a power cut removed its journal, too
			notice.Say("Cleaned up after a run that was cut off.")
		case !r.Done:
			notice.Say("Cleaned up after a run that was cut off (%s, process %d).", r.Title, r.PID)
		}
	}
}
