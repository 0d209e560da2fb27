package cli

import (
	"context"
	"errors"

	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/ui"
)

// Main runs a command line, without the name of the command, tells the user
// about an error, and returns how the process is to end.
func Main(ctx context.Context, app *App, args []string) redirect.Exit {
	out := app.Stdout
	app.Stdout = ui.Printer(out)
	defer func() { app.Stdout = out }()
	command := NewCommand(app)
	command.SetArgs(args)
	err := command.ExecuteContext(ctx)
	if err != nil && !app.began && !errors.As(err, &usageError{}) {
		// The parser of options has errors of its own.
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
