package upgrade

import (
	"testing"

	"github.com/apt-be/apt-be/internal/frontend"
)

// TestJudge has the cases of the table of verdicts.
func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name    string
		outcome Outcome
		state   State
		code    int
		signal  int
	}{
		{"nothing to do", Outcome{Frontend: frontend.AptGet, Healthy: true}, Discard, 0, 0},
		{"n at the prompt", Outcome{Frontend: frontend.AptGet, ExitCode: 1, Healthy: true}, Discard, 1, 0},
		{"bad option, failed download", Outcome{Frontend: frontend.Apt, ExitCode: 100, Healthy: true}, Discard, 100, 0},
		{"exit like a shell", Outcome{Frontend: frontend.AptGet, ExitCode: 130, Healthy: true}, Discard, 130, 0},
		{"Ctrl-C at the prompt", Outcome{Frontend: frontend.AptGet, Signal: 2, Healthy: true}, Discard, 130, 2},
		{"aptitude has nothing to do", Outcome{Frontend: frontend.Aptitude, ExitCode: 255, Healthy: true}, Discard, 255, 0},
		{"all well", Outcome{Frontend: frontend.AptGet, Changed: true, Healthy: true}, Ready, 0, 0},
		{"Ctrl-C while dpkg ran", Outcome{Frontend: frontend.AptGet, Changed: true}, Failed, 100, 0},
		{"the same with aptitude", Outcome{Frontend: frontend.Aptitude, Changed: true}, Failed, 255, 0},
		{"the same with unattended-upgrade", Outcome{Frontend: frontend.UnattendedUpgrade, Changed: true}, Failed, 1, 0},
		{"0 with an error in the history", Outcome{Frontend: frontend.Apt, Changed: true, Healthy: true, HistoryError: true}, Failed, 100, 0},
		{"a package is kept back", Outcome{Frontend: frontend.UnattendedUpgrade, ExitCode: 1, Changed: true, Healthy: true}, Ready, 1, 0},
		{"dpkg failed under unattended-upgrade", Outcome{Frontend: frontend.UnattendedUpgrade, ExitCode: 1, Changed: true, Healthy: true, HistoryError: true}, Failed, 1, 0},
		{"the same and half installed", Outcome{Frontend: frontend.UnattendedUpgrade, ExitCode: 1, Changed: true, HistoryError: true}, Failed, 1, 0},
		{"unattended-upgrade with another code", Outcome{Frontend: frontend.UnattendedUpgrade, ExitCode: 2, Changed: true, Healthy: true}, Failed, 2, 0},
		{"1 from apt-get", Outcome{Frontend: frontend.AptGet, ExitCode: 1, Changed: true, Healthy: true}, Failed, 1, 0},
		{"a failed postinst", Outcome{Frontend: frontend.AptGet, ExitCode: 100, Changed: true, HistoryError: true}, Failed, 100, 0},
		{"a failed preinst that was undone", Outcome{Frontend: frontend.Aptitude, ExitCode: 255, Changed: true, Healthy: true, HistoryError: true}, Failed, 255, 0},
		{"a failed Post-Invoke", Outcome{Frontend: frontend.AptGet, ExitCode: 100, Changed: true, Healthy: true}, Failed, 100, 0},
		{"killed", Outcome{Frontend: frontend.AptGet, Signal: 9, Changed: true, Healthy: true}, Failed, 137, 9},
		{"killed under unattended-upgrade", Outcome{Frontend: frontend.UnattendedUpgrade, ExitCode: 1, Signal: 15, Changed: true, Healthy: true}, Failed, 143, 15},
		{"no code that a process can have", Outcome{Frontend: frontend.AptGet, ExitCode: -1}, Discard, 100, 0},
	} {
		v := Judge(test.outcome)
		if v.State != test.state || v.ExitCode != test.code || v.Signal != test.signal {
			t.Errorf("%s: %+v; want %v, code %d, signal %d", test.name, v, test.state, test.code, test.signal)
		}
	}
}

// TestJudgeAll judges every possible outcome.
func TestJudgeAll(t *testing.T) {
	yesNo := []bool{false, true}
	for _, frontend := range frontend.Frontends() {
		for code := -1; code <= 256; code++ {
			for signal := 0; signal <= 64; signal++ {
				for _, changed := range yesNo {
					for _, healthy := range yesNo {
						for _, historyError := range yesNo {
							checkVerdict(t, Outcome{frontend, code, signal, changed, healthy, historyError})
						}
					}
				}
			}
		}
	}
}

func checkVerdict(t *testing.T, o Outcome) {
	t.Helper()
	v := Judge(o)
	nativeZero := o.ExitCode == 0 && o.Signal == 0
	possible := o.Signal != 0 || o.ExitCode >= 0 && o.ExitCode <= 255
	switch {
	case o.Changed == (v.State == Discard):
		t.Errorf("%+v: discarded wrongly or kept wrongly: %+v", o, v)
	case v.State == Ready && (!o.Healthy || o.HistoryError || o.Signal != 0):
		t.Errorf("%+v: ready: %+v", o, v)
	case v.State == Failed && v.ExitCode == 0:
		t.Errorf("%+v: failed, but exits with 0: %+v", o, v)
	case v.ExitCode == 0 && !nativeZero:
		t.Errorf("%+v: a failure became a success: %+v", o, v)
	case possible && o.Signal == 0 && o.ExitCode != 0 && v.ExitCode != o.ExitCode:
		t.Errorf("%+v: the exit code is another: %+v", o, v)
	case v.Signal != o.Signal || o.Signal != 0 && v.ExitCode != 128+o.Signal:
		t.Errorf("%+v: the signal is another: %+v", o, v)
	case v.ExitCode < 0 || v.ExitCode > 255 || v.Reason == "":
		t.Errorf("%+v: %+v", o, v)
	}
}
