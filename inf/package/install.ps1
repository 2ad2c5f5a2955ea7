# Trusts the test certificate of this package and stages the package; -Uninstall takes both back.
# Run in an elevated PowerShell.
param([switch]$Uninstall)

$ErrorActionPreference = 'Stop'
$inf = Join-Path $PSScriptRoot 'syncstress.inf'
$file = Join-Path $PSScriptRoot 'syncstress-test.cer'
$stores = 'Cert:\LocalMachine\Root', 'Cert:\LocalMachine\TrustedPublisher'

$principal = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'This changes the system: run it in an elevated PowerShell.'
}

if ($Uninstall) {
    # The store names packages oemN.inf and remembers what they were called.
    Get-WindowsDriver -Online |
        Where-Object { [IO.Path]::GetFileName($_.OriginalFileName) -eq 'syncstress.inf' } |
        ForEach-Object { pnputil.exe /delete-driver $_.Driver /uninstall }
    $thumbprint = (Get-PfxCertificate -FilePath $file).Thumbprint
    foreach ($store in $stores) {
        Get-ChildItem $store | Where-Object Thumbprint -eq $thumbprint | Remove-Item
    }
    return
}

foreach ($store in $stores) {
    Import-Certificate -FilePath $file -CertStoreLocation $store | Out-Null
}
pnputil.exe /add-driver $inf
if ($LASTEXITCODE -ne 0) {
    throw "pnputil refused the package (exit code $LASTEXITCODE)."
}
