"""Options of the tools' tests."""


def pytest_addoption(parser):
    parser.addoption("--preset", default="dev", help="which build is installed")
