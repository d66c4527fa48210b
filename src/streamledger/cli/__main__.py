"""`python -m streamledger.cli`: the installed command, where it is not installed or not on the path."""

from streamledger.cli.start import main

if __name__ == "__main__":
    main()
