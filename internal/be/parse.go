package be

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apt-be/apt-be/internal/store"
)

var (
	uuidPattern  = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	noncePattern = regexp.MustCompile(`^[0-9a-f]{1,64}$`)
)

// parseRecord parses the content of a record file. It rejects invalid values: guessing
// could make garbage of subvolumes that the record names.
func parseRecord(uuid string, data []byte) (Record, error) {
	if len(data) == 0 {
		return Record{}, errors.New("empty file")
	}
	if !utf8.Valid(data) {
		return Record{}, errors.New("not UTF-8")
	}
	// Check the schema first, because a newer schema may have other types.
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Record{}, err
	}
	if head.Schema > RecordSchema {
		return Record{}, fmt.Errorf("schema %d is %w", head.Schema, ErrNewerSchema)
	}
	var record Record
	if err := json.Unmarshal(data, &record); err != nil {
		return Record{}, err
	}
	return record, record.check(uuid)
}

// check returns an error for the first invalid field of a record.
func (r *Record) check(uuid string) error {
	nonsense := func(field string, value any) error {
		return fmt.Errorf("invalid %s %q", field, value)
	}
	for _, u := range []struct{ field, value string }{
		{"uuid", r.UUID}, {"origin_uuid", r.OriginUUID}, {"base_uuid", r.BaseUUID},
	} {
		if (u.value != "" || u.field == "uuid") && !uuidPattern.MatchString(u.value) {
			return nonsense(u.field, u.value)
		}
	}
	for _, past := range r.ShareSnapshots {
		if !uuidPattern.MatchString(past.UUID) {
			return nonsense("share_snapshots", past.UUID)
		}
	}
	t := r.Trial
	switch {
	case r.Schema < 1:
		return fmt.Errorf("invalid schema %d", r.Schema)
	case r.UUID != uuid:
		return fmt.Errorf("it belongs to another subvolume, %s", r.UUID)
	case !slices.Contains([]State{Creating, Ready, Trying, Blessed, FellBack, Stale, Failed}, r.State):
		return nonsense("state", r.State)
	case r.Path != "" && store.CheckPath(r.Path) != nil:
		return nonsense("path", r.Path)
	case r.TargetName != "" && CheckName(r.TargetName) != nil:
		return nonsense("target_name", r.TargetName)
	case strings.ContainsFunc(strings.ReplaceAll(r.Parameters, "\t", " "), unicode.IsControl): // they go into the boot menu
		return nonsense("parameters", r.Parameters)
	case t != nil && !noncePattern.MatchString(t.Nonce):
		return nonsense("trial's nonce", t.Nonce)
	case t != nil && !slices.Contains([]Method{Reboot, Kexec, SoftReboot}, t.Method):
		return nonsense("trial's method", t.Method)
	}
	return nil
}
