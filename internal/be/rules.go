package be

import (
	"fmt"
	"slices"
)

// CheckDestroy returns an ErrProtected if the environment called name may not be
// destroyed. mounted reports whether an environment is mounted or in use by a sandbox.
func CheckDestroy(envs []Env, name string, mounted func(Env) bool) error {
	i := slices.IndexFunc(envs, func(e Env) bool { return e.Name == name })
	if i < 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	e := envs[i]
	switch {
	case e.Running:
		return fmt.Errorf("%w: it is the running one", ErrProtected)
	case e.Next:
		return fmt.Errorf("%w: the next boot takes it", ErrProtected)
	case e.Default:
		return fmt.Errorf("%w: it is the default", ErrProtected)
	case e.Record.Kept:
		return fmt.Errorf("%w: it is marked as kept", ErrProtected)
	case e.Armed:
		return fmt.Errorf("%w: the next boot tries it; `apt-be deactivate` cancels that", ErrProtected)
	case e.Origin:
		return fmt.Errorf("%w: apt-be init was run in it, and apt-be init --undo returns to it", ErrProtected)
	case mounted(e):
		return fmt.Errorf("%w: it is mounted or in use", ErrProtected)
	case e.DefaultErr != nil:
		return fmt.Errorf("%w: the default is unknown: %w", ErrProtected, e.DefaultErr)
	case e.Unreadable != nil:
		return fmt.Errorf("%w: it may be marked as kept: %w", ErrProtected, e.Unreadable)
	case (e.Record.State == Blessed || e.Record.State == Unreadable) && !slices.ContainsFunc(envs, func(o Env) bool {
		return o.Name != name && o.Record.State == Blessed
	}):
		return fmt.Errorf("%w: it is the last blessed environment", ErrProtected)
	}
	return nil
}

// PruneDecision is the action of pruning for an environment, and the reason.
type PruneDecision struct {
	Env     Env
	Destroy bool
	Reason  string
}

// Prune decides which environments to destroy, so that besides the running one at most
// keep environments remain that have run. It destroys only environments that apt-be
// created automatically.
func Prune(envs []Env, keep int, mounted func(Env) bool) []PruneDecision {
	envs = slices.Clone(envs)
	byAge(envs)
	var decisions []PruneDecision
	left := envs
	older := 0
	for _, e := range slices.Backward(envs) { // the youngest first
		decision := PruneDecision{Env: e}
		err := CheckDestroy(left, e.Name, mounted)
		switch {
		case err != nil:
			decision.Reason = reasonOf(err)
		case e.Record.CreatedBy != Redirect && e.Record.CreatedBy != Command && e.Record.CreatedBy != Guard:
			decision.Reason = "apt-be did not create it automatically"
		case e.Record.State == Stale:
			decision.Destroy, decision.Reason = true, "it lacks later package changes of the running system"
		case e.Record.State == Failed && youngest(envs, Failed) != e.Name:
			decision.Destroy, decision.Reason = true, "a newer failed environment is kept for examination"
		case e.Record.State == Failed:
			decision.Reason = "its upgrade failed; the newest failed environment is kept for examination"
		case e.Pending():
			decision.Reason = "it has not been booted yet"
		case older < keep:
			older++
			decision.Reason = fmt.Sprintf("one of the newest %d", keep)
		default:
			decision.Destroy, decision.Reason = true, fmt.Sprintf("older than the newest %d", keep)
		}
		if decision.Destroy {
			left = slices.DeleteFunc(slices.Clone(left), func(o Env) bool { return o.Name == e.Name })
		}
		decisions = append(decisions, decision)
	}
	slices.Reverse(decisions)
	return decisions
}

func youngest(envs []Env, state State) string {
	for _, e := range slices.Backward(envs) {
		if e.Record.State == state {
			return e.Name
		}
	}
	return ""
}

// reasonOf returns the text of an ErrProtected without the sentinel.
func reasonOf(err error) string {
	const prefix = "protected: "
	if s := err.Error(); len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):]
	}
	return err.Error()
}
