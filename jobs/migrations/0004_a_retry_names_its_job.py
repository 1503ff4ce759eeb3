import django.db.models.deletion
import django.db.models.fields.json
import django.db.models.functions.comparison
import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inventory', '0001_initial'),
        ('jobs', '0003_one_launch_one_job'),
    ]

    operations = [
        # The table is there: it was made for the many-to-many field.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name='JobTarget',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='jobs.job')),
                        ('machine', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='inventory.machine')),
                    ],
                    options={'db_table': 'jobs_job_machines', 'unique_together': {('job', 'machine')}},
                ),
                migrations.AlterField(
                    model_name='job',
                    name='machines',
                    field=models.ManyToManyField(blank=True, related_name='jobs', through='jobs.JobTarget', to='inventory.machine'),
                ),
            ],
        ),
        migrations.AddField(
            model_name='job',
            name='retry_of',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='retries', to='jobs.job'),
        ),
        migrations.AddField(
            model_name='job',
            name='cause',
            field=models.GeneratedField(db_persist=True, expression=django.db.models.functions.text.Left(django.db.models.functions.text.Lower(django.db.models.functions.comparison.Coalesce(django.db.models.fields.json.KeyTextTransform('cause', 'failure'), models.Value('', output_field=models.TextField()))), 400), output_field=models.TextField()),
        ),
    ]
