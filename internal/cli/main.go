package cli

import (
	"context"
	"errors"

	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/ui"
)

// Main runs a command line, without argv[0], prints the error, and returns how the
// process must end.
func Main(ctx context.Context, app *App, args []string) inside.Exit {
	out := app.Stdout
	app.Stdout = ui.Printer(out)
	defer func() { app.Stdout = out }()
	command := NewCommand(app)
	command.SetArgs(args)
	err := command.ExecuteContext(ctx)
	if err != nil && !app.began && !errors.As(err, &usageError{}) {
		// Errors of the option parser are usage errors, too.
		err = usageError{err}
	}
	if err != nil && !Silent(err) {
		app.notice().Error(err)
		if hint := Hint(err); hint != "" {
			app.notice().Hint("%s", hint)
		}
	}
	return Status(err)
}
